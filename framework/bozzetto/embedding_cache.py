"""Text embeddings on disk, in files named by what they depend on: never by the prompt's words."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bozzetto.files import write_atomically
from bozzetto.kinds.guidance import TextEncoder

KEY = "embedding"

log = logging.getLogger(__name__)


def encode_cached(encoder: TextEncoder, texts: Sequence[str], cache: Path | None) -> Float[Tensor, "T N E"]:
    """The embedding of each text, from `cache` where it is there; all others in one call of the encoder.

    Embeddings that come from files alone are in host memory.
    """
    wanted = list(dict.fromkeys(texts))
    found = {text: read(cache, encoder.text_model_id, text) for text in wanted} if cache else {}
    missing = [text for text in wanted if found.get(text) is None]
    if missing:
        encoded = encoder.encode_text(missing)
        for text, embedding in zip(missing, encoded, strict=True):
            found[text] = embedding
            if cache:
                write(cache, encoder.text_model_id, text, embedding)
    embeddings = [found[text] for text in texts]
    device = encoded.device if missing else embeddings[0].device
    return torch.stack([embedding.to(device) for embedding in embeddings])


def path_of(cache: Path, text_model_id: str, text: str) -> Path:
    """`<sha256 of the text model and the text>.safetensors`."""
    digest = hashlib.sha256(f"{text_model_id}\0{text}".encode()).hexdigest()
    return cache / f"{digest}.safetensors"


def read(cache: Path, text_model_id: str, text: str) -> Float[Tensor, "N E"] | None:
    """The stored embedding; None where there is none or the file is damaged."""
    path = path_of(cache, text_model_id, text)
    if not path.is_file():
        return None
    try:
        return load_file(path)[KEY]
    except (SafetensorError, KeyError, OSError) as error:
        log.warning("Cached text embedding %s is damaged (%s); it is made again.", path, error)
        return None


def write(cache: Path, text_model_id: str, text: str, embedding: Float[Tensor, "N E"]) -> None:
    """Store an embedding, whole or not at all."""
    cache.mkdir(parents=True, exist_ok=True)
    tensors = {KEY: embedding.detach().contiguous()}
    write_atomically(path_of(cache, text_model_id, text), lambda temporary: save_file(tensors, temporary))
