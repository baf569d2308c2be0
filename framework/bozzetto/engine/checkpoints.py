"""Reads and writes stage checkpoints atomically; damage is reported in one line."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bozzetto.engine.random_state import load_state, save_state
from bozzetto.engine.stopping import StopSignals
from bozzetto.engine.system import System
from bozzetto.errors import RunFolderError
from bozzetto.files import write_atomically
from bozzetto.recipe import Stage

PARTS: Mapping[str, type | tuple[type, ...]] = {
    "state_dict": dict,
    "optimizer_states": list,
    "global_step": int,
    "generator_state": Tensor,
}
"""Required entries of a checkpoint and their types. Those of release 0.1 have further ones, which are ignored."""


class Interrupted(Exception):
    """Raised when the user or the system stopped the run at a step boundary; its state is saved."""

    def __init__(self, stage: str, step: int, number: int) -> None:
        super().__init__(f"stopped in stage {stage} at step {step}")
        self.stage, self.step, self.number = stage, step, number


class Checkpoints:
    """Saves the stage's latest state to one file: every `every` steps, at the end, and when a stop is requested.

    Saved between steps only, so that the generator state matches the finished steps.
    """

    def __init__(
        self, path: Path, stage: Stage, optimizers: Sequence[torch.optim.Optimizer], stop: StopSignals
    ) -> None:
        self.path, self.stage, self.optimizers, self.stop = path, stage, optimizers, stop
        self.asked = False
        """True: save after this step, too."""

    def after_step(self, done: int, system: System) -> None:
        """Save if it is time. Raises `Interrupted` if a stop is requested."""
        number, trainer = self.stop.requested, self.stage.trainer
        if number or self.asked or done % trainer.checkpoint_every == 0 or done == trainer.steps:
            self.save(done, system)
        if number:
            raise Interrupted(self.stage.name, done, number)

    def save(self, done: int, system: System) -> None:
        """Save the state after `done` steps now. Raises `NonFiniteError` instead if a step's numbers are not finite."""
        self.asked = False
        system.readings.read()
        save_checkpoint(self.path, system, self.optimizers, done)

    def close(self) -> None:
        """Do nothing: every file is complete."""


def save_checkpoint(path: Path, system: System, optimizers: Sequence[torch.optim.Optimizer], done: int) -> None:
    """Write the state of a stage after `done` steps, atomically."""
    checkpoint: dict[str, Any] = {
        "state_dict": system.state_dict(),
        "optimizer_states": [optimizer.state_dict() for optimizer in optimizers],
        "global_step": done,
    }
    save_state(checkpoint, system.generator)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # torch's own writer would not report a full disk
            torch.save(checkpoint, file)

    write_atomically(path, write)


def restore(
    optimizers: Sequence[torch.optim.Optimizer], generator: torch.Generator, saved: Mapping[str, Any], path: Path
) -> int:
    """Restore optimisers and a generator from a checkpoint, read from `path`, and return its finished steps.

    Raises:
        RunFolderError: it does not fit them.
    """
    try:
        for optimizer, state in zip(optimizers, saved["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)
            _require_shapes(optimizer)
        load_state(saved, generator)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise RunFolderError(_damaged(path, f"{type(error).__name__}, {_first_line(error)}")) from error
    return int(saved["global_step"])


def _require_shapes(optimizer: torch.optim.Optimizer) -> None:
    """Raise `ValueError` if averages have another shape than their parameter: a step would read beyond their end."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                raise ValueError(f"{name} {tuple(value.shape)} of a parameter {tuple(parameter.shape)}")


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
