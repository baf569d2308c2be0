"""Reads and writes stage checkpoints atomically; damage is reported in one line."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from bozzetto.errors import RunFolderError

PARTS: Mapping[str, type | tuple[type, ...]] = {
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
    "generator_state": Tensor,
}
"""Required entries of a checkpoint and their types."""


class CheckpointFile(TorchCheckpointIO):
    """Lightning checkpoint plugin that writes in place, without the temporary folder."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` at `path`."""
        with Path(path).open("wb") as file:  # torch's own writer would not report a full disk
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: Any, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read the checkpoint at `path` into host memory."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint into host memory, without executing code of the file.

    Raises:
        RunFolderError: it is damaged or not a checkpoint.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the pickle protocol of a foreign file: reported below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # a damaged archive or pickle raises a dozen types, depending on the torch version
        raise RunFolderError(_damaged(path, f"{type(error).__name__}, {_first_line(error)}")) from error
    if not isinstance(loaded, dict):
        raise RunFolderError(_damaged(path, f"it holds a {type(loaded).__name__}"))
    for name, kind in PARTS.items():
        if not isinstance(loaded.get(name), kind):
            raise RunFolderError(_damaged(path, f"its {name} is missing or not what it should be"))
    if not all(isinstance(value, Tensor) for value in loaded["state_dict"].values()):
        raise RunFolderError(_damaged(path, "its state_dict holds values other than tensors"))
    return loaded


def require_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise `RunFolderError` if a tensor of `state`, read from the checkpoint at `path`, has a NaN or an infinity."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise RunFolderError(f"The checkpoint {path} holds numbers that are not finite, in {name}. {_cure(path)}")


def load_into(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load `state`, read from the checkpoint at `path`, into a module.

    Raises:
        RunFolderError: names or shapes do not match the module.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise RunFolderError(f"The checkpoint {path} does not fit the recipe: {lines[0]} {_cure(path)}") from error


def _damaged(path: Path, why: str) -> str:
    return f"The checkpoint {path} is damaged: {why}. {_cure(path)}"


def _cure(path: Path) -> str:
    """Return the command that trains the stage of an unusable checkpoint again."""
    return f"Train its stage again: --resume {path.parent.parent} --from-stage {path.stem}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:160]
