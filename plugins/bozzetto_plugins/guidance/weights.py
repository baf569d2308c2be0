"""Loading of the parts of a model folder without progress bars, with checks and one-line errors."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bozzetto.errors import ModelError, UserError
from bozzetto.model_files import whole_part
from bozzetto.weights.faults import check_header
from bozzetto.weights.folder import variant_of, weights_in

__all__ = ["load_with_info", "reading", "require_size", "require_whole", "variant_of", "without_bars"]


MOST_OVER = 2
"""Allowed ratio of described to stored weights: some layouts share or pack them."""
LONGEST = 300
"""Maximum number of characters of a library's message in an error."""


@contextmanager
def reading(what: str, path: Path) -> Iterator[None]:
    """Convert any exception raised while reading a part of a model to a one-line error that names the part.

    Raises:
        ModelError: `what` at `path` cannot be loaded.
    """
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except BaseException as error:
        # A damaged tokenizer can make its Rust library panic, which is not an `Exception`.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        why = " ".join(str(error).split())[:LONGEST] or type(error).__name__
        raise ModelError(
            f"{what} in {path} cannot be loaded: {why.removesuffix('.')}. The folder is damaged or of another kind of "
            "model: download it again, or choose another model."
        ) from error


def load_with_info(model: type[Any], path: Path, dtype: torch.dtype) -> tuple[nn.Module, dict[str, Any]]:
    """Load a network of transformers with the weights of a folder, and what the library says of loading them.

    Args:
        model: class of the network, or one that chooses it by the settings in the folder.
    """
    load: Callable[..., tuple[nn.Module, dict[str, Any]]] = model.from_pretrained
    with whole_part(path) as whole:
        return load(
            whole, dtype=dtype, variant=variant_of(path), use_safetensors=True, local_files_only=True,
            output_loading_info=True,
        )  # fmt: skip


def require_size(make: Callable[[], nn.Module], path: Path) -> None:
    """Check that the settings do not describe a far larger network than is stored, before allocating memory.

    Args:
        make: builds the network from its settings; called on the meta device.
        path: folder of its weights.

    Raises:
        ValueError: the network has too many weights.
    """
    with torch.device("meta"):
        described = sum(parameter.numel() for parameter in make().parameters())
    held = sum(math.prod(shape) for file in weights_in(path) for shape in check_header(file).values())
    if described > MOST_OVER * held:
        raise ValueError(f"config.json describes {described:,} weights, and the files hold {held:,}")


def require_whole(loaded: Mapping[str, Any], what: str, path: Path) -> None:
    """Raise `ModelError` if a network did not receive all of its weights, according to the loading info."""
    for key, verb in (("missing_keys", "lacks"), ("mismatched_keys", "has in another shape")):
        names = sorted(str(item if isinstance(item, str) else item[0]) for item in loaded.get(key) or ())
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(
                f"{what} in {path} cannot be loaded: the file {verb} {names[0]}{more} of what its config.json "
                "describes. The folder is damaged, or its parts are of different models: download it again."
            )


@contextmanager
def without_bars() -> Iterator[None]:
    """Disable progress bars while local files are read: it takes a second, and the bars hide other messages."""
    loaded = [name for name in ("diffusers", "transformers") if name in sys.modules]  # their import takes seconds
    libraries = [importlib.import_module(f"{name}.utils.logging") for name in loaded]
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()
