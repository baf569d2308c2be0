"""Reading the parts of a model folder: quietly, whole, and with one line where it fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers.utils import logging

from bozzetto.errors import ModelError, UserError
from bozzetto.model_faults import check_header
from bozzetto.model_folder import variant_of, weights_in

__all__ = ["load_with_info", "reading", "require_size", "require_whole", "variant_of", "without_bars"]


MOST_OVER = 2
"""Times as many weights as its files hold may a network's settings describe: some layouts share or pack them."""
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


def load_with_info(model: type[nn.Module], path: Path, dtype: torch.dtype) -> tuple[nn.Module, dict[str, Any]]:
    """A network of transformers with the weights of a folder, and what the library says of loading them."""
    load: Callable[..., tuple[nn.Module, dict[str, Any]]] = cast(Any, model).from_pretrained
    return load(
        path, dtype=dtype, variant=variant_of(path), use_safetensors=True, local_files_only=True,
        output_loading_info=True,
    )  # fmt: skip


def require_size(make: Callable[[], nn.Module], path: Path) -> None:
    """Raises ValueError if settings describe a network far larger than its weights, before memory is taken for it.

    Args:
        make: builds the network by its settings; called where tensors have no data.
        path: the folder of its weights.
    """
    with torch.device("meta"):
        described = sum(parameter.numel() for parameter in make().parameters())
    held = sum(math.prod(shape) for file in weights_in(path) for shape in check_header(file).values())
    if described > MOST_OVER * held:
        raise ValueError(f"config.json describes {described:,} weights, and the files hold {held:,}")


def require_whole(loaded: Mapping[str, Any], what: str, path: Path) -> None:
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
    shown = [library for library in (logging, diffusers_logging) if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()
