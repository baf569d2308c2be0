"""Loggers of a stage for TensorBoard and Weights & Biases: numbers, pictures, objects; imported at the first write."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from bozzetto.engine.run_folder import RunFolder
from bozzetto.files import slug
from bozzetto.recipe import Recipe, Stage

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@runtime_checkable
class Logger(Protocol):
    """Receives the numbers, pictures and exported objects of a stage, by the number of finished steps."""

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        """Log named numbers."""

    def picture(self, name: str, pixels: UInt8[np.ndarray, "H W 3"], step: int) -> None:
        """Log a picture."""

    def mesh(self, name: str, file: Path, step: int) -> None:
        """Log an exported GLB."""

    def close(self) -> None:
        """Write what is still to be written."""


class TensorBoard:
    """Event files of TensorBoard; events from step `done` on are replaced."""

    def __init__(self, folder: Path, done: int) -> None:
        self.folder, self.done = folder, done

    @functools.cached_property
    def writer(self) -> SummaryWriter:
        """Writer of the event files; the import takes a second."""
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder), purge_step=self.done)

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        """Write named numbers."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, name: str, pixels: UInt8[np.ndarray, "H W 3"], step: int) -> None:
        """Write a picture."""
        self.writer.add_image(name, pixels, step, dataformats="HWC")

    def mesh(self, name: str, file: Path, step: int) -> None:
        """Do nothing: TensorBoard shows no GLB, and the file lies beside its events."""

    def close(self) -> None:
        """Close the event file, if there is one."""
        if "writer" in vars(self):
            self.writer.close()


class WeightsAndBiases:
    """Run of Weights & Biases for one stage, in a group for the whole run; a resumed stage continues its run.

    Args:
        folder: run folder, which keeps the local files, too.
        facts: shown as the configuration.
    """

    def __init__(self, folder: Path, stage: str, facts: Mapping[str, Any]) -> None:
        self.folder, self.stage, self.facts = folder, stage, facts

    @functools.cached_property
    def run(self) -> Any:
        """Run of `wandb`, which has no types here; the import takes seconds."""
        import wandb

        name = self.folder.resolve().name
        return wandb.init(
            project="bozzetto", group=name, name=f"{name} {self.stage}", id=slug(f"{name}-{self.stage}", 64),
            resume="allow", dir=str(self.folder), config=dict(self.facts),
        )  # fmt: skip

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        """Send named numbers."""
        self.run.log(dict(numbers), step=step)

    def picture(self, name: str, pixels: UInt8[np.ndarray, "H W 3"], step: int) -> None:
        """Send a picture."""
        import wandb

        self.run.log({name: wandb.Image(pixels)}, step=step)

    def mesh(self, name: str, file: Path, step: int) -> None:
        """Send an exported GLB, which the page of the run shows; a run that was finished is continued for it."""
        import wandb

        self.run.log({name: wandb.Object3D(str(file))}, step=step)

    def close(self) -> None:
        """Finish the run, if it has begun."""
        if "run" in vars(self):
            self.run.finish()


class Loggers:
    """Several loggers as one."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = loggers

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        """Log named numbers everywhere."""
        for logger in self.loggers:
            logger.scalars(numbers, step)

    def picture(self, name: str, pixels: UInt8[np.ndarray, "H W 3"], step: int) -> None:
        """Log a picture everywhere."""
        for logger in self.loggers:
            logger.picture(name, pixels, step)

    def mesh(self, name: str, file: Path, step: int) -> None:
        """Log an exported GLB everywhere."""
        for logger in self.loggers:
            logger.mesh(name, file, step)

    def close(self) -> None:
        """Close all loggers."""
        for logger in self.loggers:
            logger.close()


def loggers_of(stage: Stage, recipe: Recipe, folder: RunFolder, done: int) -> Loggers:
    """Return the loggers that a stage names; `done` of its steps are finished."""
    made: dict[str, Logger] = {
        "tensorboard": TensorBoard(folder.metrics / "tensorboard" / stage.name, done),
        "wandb": WeightsAndBiases(folder.path, stage.name, recipe.values),
    }
    return Loggers([made[name] for name in dict.fromkeys(stage.trainer.loggers)])
