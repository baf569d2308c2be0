"""Reading the parts of a model folder: quietly, whole, and with one line where it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers.utils import logging

from bozzetto.errors import ModelError, UserError
from bozzetto.model_folder import variant_of

__all__ = ["reading", "require_whole", "variant_of", "without_bars"]

LONGEST = 300
"""Characters of a library's message that are shown."""


@contextmanager
def reading(what: str, path: Path) -> Iterator[None]:
    """Turn whatever a library raises while it reads a part of a model into one line that says which part it was.

    Raises:
        ModelError: `what`, which lies at `path`, cannot be used.
    """
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except BaseException as error:
        # A tokenizer that is damaged may bring its library, written in Rust, to a panic, which is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        why = " ".join(str(error).split())[:LONGEST] or type(error).__name__
        raise ModelError(
            f"{what} in {path} cannot be loaded: {why.removesuffix('.')}. The folder is damaged or of another kind of "
            "model: get it anew, or choose another model."
        ) from error


def require_whole(loaded: Mapping[str, object], what: str, path: Path) -> None:
    """Raises `ModelError` if a network was given less than all of its weights, by what its library says of loading."""
    for key, verb in (("missing_keys", "lacks"), ("mismatched_keys", "has in another shape")):
        names = sorted(str(item if isinstance(item, str) else item[0]) for item in loaded.get(key) or ())
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(
                f"{what} in {path} cannot be loaded: the file {verb} {names[0]}{more} of what its config.json "
                "describes. The folder is damaged, or its parts are of different models: get it anew."
            )


@contextmanager
def without_bars() -> Iterator[None]:
    """No progress bars while files of this machine are read: they take a second, and hide what a run has to say."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
