"""Cache of text embeddings, and of other tables on texts, on disk; files are named by content hash, not by text."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bozzetto.files import write_atomically
from bozzetto.kinds.guidance import TextEncoder

__all__ = ["encode_cached", "keep", "path_of", "read", "write"]

KEY = "embedding"

log = logging.getLogger(__name__)


def encode_cached(encoder: TextEncoder, texts: Sequence[str], cache: Path | None) -> Float[Tensor, "T N E"]:
    """Return the embedding of each text, from `cache` where available; all others in one call of the encoder.

    Embeddings read from files only are in host memory. A cache that cannot be read or written is reported once and
    ignored.
    """
    wanted = list(dict.fromkeys(texts))
    known = ((text, read(cache, encoder.text_model_id, text)) for text in wanted) if cache else ()
    found = {text: embedding for text, embedding in known if embedding is not None}
    if len({embedding.shape for embedding in found.values()}) > 1:
        _tell(f"Cached text embeddings in {cache} have different shapes; they are encoded again.")
        found = {}
    missing = [text for text in wanted if text not in found]
    if missing:
        encoded = encoder.encode_text(missing)
        fresh = dict(zip(missing, encoded, strict=True))
        if any(found[text].shape != encoded[0].shape for text in wanted if text not in fresh):
            _tell(f"Cached text embeddings in {cache} differ in shape from new ones; they are encoded again.")
            fresh = dict(zip(wanted, encoder.encode_text(wanted), strict=True))
        found |= fresh
        if cache:
            _keep_all(cache, encoder.text_model_id, fresh)
    embeddings = [found[text] for text in texts]
    device = encoded.device if missing else embeddings[0].device
    return torch.stack([embedding.to(device) for embedding in embeddings])


def keep(cache: Path, text_model_id: str, text: str, embedding: Float[Tensor, "N E"]) -> None:
    """Store an embedding; a failure is reported once and ignored."""
    _keep_all(cache, text_model_id, {text: embedding})


def _keep_all(cache: Path, text_model_id: str, embeddings: Mapping[str, Float[Tensor, "N E"]]) -> None:
    """Store embeddings; the first failure is reported and ends the attempt."""
    try:
        for text, embedding in embeddings.items():
            write(cache, text_model_id, text, embedding)
    except (OSError, SafetensorError) as error:
        _tell(f"Text embeddings cannot be kept in {cache} ({error}); the next run encodes them again.")


@functools.cache
def _tell(notice: str) -> None:
    """Log a notice, the same one only once."""
    log.warning(notice)


def path_of(cache: Path, text_model_id: str, text: str) -> Path:
    """Return `<sha256 of the text model and the text>.safetensors`."""
    digest = hashlib.sha256(f"{text_model_id}\0{text}".encode()).hexdigest()
    return cache / f"{digest}.safetensors"


def read(cache: Path, text_model_id: str, text: str) -> Float[Tensor, "N E"] | None:
    """Read a stored embedding; None if there is none or the file is damaged."""
    path = path_of(cache, text_model_id, text)
    try:
        if not path.is_file():
            return None
        embedding = load_file(path)[KEY]
    except (SafetensorError, KeyError, OSError) as error:
        _tell(f"Cached text embedding {path} cannot be read or is damaged ({error}); it is encoded again.")
        return None
    if embedding.ndim != 2 or not embedding.is_floating_point() or not bool(embedding.isfinite().all()):
        _tell(f"Cached text embedding {path} is damaged (it does not hold an embedding); it is encoded again.")
        return None
    return embedding


def write(cache: Path, text_model_id: str, text: str, embedding: Float[Tensor, "N E"]) -> None:
    """Store an embedding atomically."""
    cache.mkdir(parents=True, exist_ok=True)
    tensors = {KEY: embedding.detach().contiguous()}
    write_atomically(path_of(cache, text_model_id, text), lambda temporary: save_file(tensors, temporary))
