"""Tokenizers and text encoders of a model folder, each in memory only while it is used."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bozzetto.files import sha256_of
from bozzetto.model_files import weight_files
from bozzetto_plugins.guidance.weights import load_with_info, reading, require_size, require_whole, without_bars

__all__ = ["digest_of", "loaded_encoder", "loaded_tokenizer", "tokens_of"]

SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".jinja")

log = logging.getLogger(__name__)


def digest_of(folder: Path, parts: Sequence[str], *facts: object) -> str:
    """Return a hash of all files of some parts of a model folder, and of further facts."""
    digest = hashlib.sha256("\0".join(map(str, facts)).encode())
    for part in parts:
        inside = folder / part
        for name, path in sorted({**{path.name: path for path in inside.iterdir()}, **weight_files(inside)}.items()):
            if name.endswith(SUFFIXES):
                digest.update(f"{part}/{name}\0{sha256_of(path)}\0".encode())
    return digest.hexdigest()


def loaded_tokenizer(path: Path, kind: str) -> Any:
    """Return the tokenizer in a folder.

    Args:
        kind: its class in transformers.

    Raises:
        ModelError: it cannot be loaded.
    """
    import transformers

    with reading("The tokenizer", path):
        return getattr(transformers, kind).from_pretrained(path, local_files_only=True)


@contextmanager
def loaded_encoder(path: Path, kind: str, dtype: torch.dtype, device: torch.device) -> Iterator[Any]:
    """Load a text encoder, and free it on exit.

    Args:
        kind: its class in transformers.

    Raises:
        ModelError: it cannot be loaded, or does not fit what is done with it.
    """
    import transformers

    model: Any = getattr(transformers, kind)
    with reading("The text encoder", path), without_bars():
        require_size(lambda: model(model.config_class.from_pretrained(path, local_files_only=True)), path)
        encoder, facts = load_with_info(model, path, dtype)
    require_whole(facts, "The text encoder", path)
    with reading("The text encoder, which does not fit the tokenizer,", path), torch.no_grad():
        yield encoder.requires_grad_(False).eval().to(device)


def tokens_of(tokenizer: Any, texts: Sequence[str], length: int, path: Path) -> Any:
    """Return `input_ids` and `attention_mask` "T N" of texts, padded or cut to a length; cut ones with a warning."""
    with reading("The tokenizer", path):
        tokens = tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt",
            return_attention_mask=True,
        )  # fmt: skip
        for text in texts:
            if len(tokenizer(text, verbose=False).input_ids) > length:
                log.warning("The prompt is longer than %d tokens. The model does not see its end: %r", length, text)
    return tokens
