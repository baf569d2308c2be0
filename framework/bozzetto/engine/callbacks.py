"""Training callbacks: progress, metrics, validation images, checkpoints, observers."""

from __future__ import annotations

import csv
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from tqdm import tqdm

from bozzetto.engine.observers import Observers
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.stopping import StopSignals
from bozzetto.engine.system import System
from bozzetto.files import slug, write_atomically
from bozzetto.recipe import TrainerConfig
from bozzetto.types import Rendered


def system_of(module: LightningModule) -> System:
    """The module that Lightning trains, as the `System` that it always is here."""
    if not isinstance(module, System):
        raise TypeError(f"{type(module).__name__} is no System")
    return module


class Progress(Callback):
    """Progress bar with stage, step, steps per second, time left and the latest metrics."""

    def __init__(self, stage: str, steps: int) -> None:
        self.stage, self.steps = stage, steps
        self.bar: tqdm[NoReturn] | None = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.bar = tqdm(
            total=self.steps,
            initial=trainer.global_step,
            desc=self.stage,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.5,
        )

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: object, batch: object, batch_index: int
    ) -> None:
        assert self.bar is not None  # training has started
        numbers = system_of(module).metrics
        shown = {name.split("/")[-1]: value for name, value in numbers.items() if name.endswith("opacity")}
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()}, refresh=False)
        self.bar.update(trainer.global_step - self.bar.n)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        self._close()  # so that subsequent output starts on a new line

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class Metrics(Callback):
    """Writes a CSV row and TensorBoard scalars every `every` steps; both continue after a resume."""

    def __init__(self, folder: Path, stage: str, every: int) -> None:
        self.file, self.events, self.every = folder / f"{stage}.csv", folder / "tensorboard" / stage, every
        self.writer: Any = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        from torch.utils.tensorboard import SummaryWriter

        drop_rows_after(self.file, trainer.global_step)
        self.writer = SummaryWriter(str(self.events), purge_step=trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: object, batch: object, batch_index: int
    ) -> None:
        step = trainer.global_step
        if step % self.every and step != trainer.max_steps:
            return
        numbers = system_of(module).metrics
        append_row(self.file, {"step": step, **numbers})
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


def append_row(path: Path, row: Mapping[str, float | int]) -> None:
    """Append a row to a CSV file; a new column rewrites the file."""
    rows: list[dict[str, Any]] = []
    columns = list(row)
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            old = list(reader.fieldnames or [])
            if set(row) <= set(old):
                columns = old
            else:
                rows, columns = list(reader), old + [name for name in row if name not in old]
    fresh = bool(rows) or not path.is_file()
    if fresh:

        def write(temporary: Path) -> None:
            with temporary.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, columns, restval="")
                writer.writeheader()
                writer.writerows([*rows, dict(row)])

        write_atomically(path, write)
        return
    with path.open("a", newline="", encoding="utf-8") as stream:
        csv.DictWriter(stream, columns, restval="").writerow(row)


_COUNT = re.compile("[0-9]{1,18}")


def drop_rows_after(path: Path, step: int) -> None:
    """Remove rows of steps that will be repeated, since a killed run may have logged beyond its checkpoint.

    Damaged rows are removed too, as is a file without steps.
    """
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        header, *rows = list(csv.reader(stream)) or [[]]
    column = header.index("step") if "step" in header else len(header)
    whole = [row for row in rows if len(row) == len(header) > column and _COUNT.fullmatch(row[column])]
    kept = [row for row in whole if int(row[column]) <= step]
    if kept == rows and column < len(header):
        return

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *kept])

    if kept:
        write_atomically(path, write)
    else:
        path.unlink()


FIRST_PICTURE_S = 2.0
"""Seconds from the start of a run's first step to its first validation image, whatever `image_every` is."""


class Pictures(Callback):
    """Writes validation images around the scene, and debug images of the guidance.

    Args:
        now: clock in seconds.
    """

    def __init__(
        self, folder: Path, stage: str, config: TrainerConfig, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.stage, self.config, self.now = folder, stage, config, now
        self.first_due = math.inf
        """Time at which the first image is due."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self.config.image_every and not any(self.folder.glob("*-[0-9]*.png")):
            self.first_due = self.now() + FIRST_PICTURE_S

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: object, batch: object, batch_index: int
    ) -> None:
        step, system = trainer.global_step, system_of(module)
        regular = self.config.image_every and (step % self.config.image_every == 0 or step == trainer.max_steps)
        if regular or self.now() >= self.first_due:
            self.first_due = math.inf
            rendered = render_views(system, self.config.image_views)
            save_picture(self.folder / f"{self.stage}-{step:06d}.png", picture_grid(rendered))
        if self.config.debug_every and step % self.config.debug_every == 0:
            for task, guided in system.guided.items():
                for name, images in (guided.debug() if guided.debug else {}).items():
                    path = self.folder / f"{self.stage}-{step:06d}-{task}-{slug(name)}.png"
                    save_picture(path, torch.cat(list(images), dim=1))
        system.guided = {}


@torch.no_grad()
def render_views(system: System, count: int) -> Rendered:
    """Render the scene from `count` evaluation cameras."""
    cameras = system.scene.views.eval_cameras(count, system.scene.device)
    shading = system.material.eval_shading(cameras)
    return system.renderer(cameras, system.geometry, system.material, system.background, shading, normal=True)


def picture_grid(rendered: Rendered) -> torch.Tensor:
    """Arrange colour above normals above opacity, views side by side: "H W 3" in [0, 1]."""
    rows = [rendered.image[..., :3], rendered.opacity.expand(-1, -1, -1, 3)]
    if rendered.normal is not None:
        rows.insert(1, 0.5 * (rendered.normal + 1.0) * rendered.opacity + (1.0 - rendered.opacity))
    return torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)


def save_picture(path: Path, image: torch.Tensor) -> None:
    """Write "H W 3" in [0, 1] as a PNG."""
    pixels = (image.detach().clamp(0, 1).cpu().numpy() * 255).round().astype(np.uint8)
    write_atomically(path, lambda temporary: Image.fromarray(pixels).save(temporary))


class Interrupted(Exception):
    """Raised when the user or the system stopped the run at a step boundary; its state is saved."""

    def __init__(self, stage: str, step: int, number: int) -> None:
        super().__init__(f"stopped in stage {stage} at step {step}")
        self.stage, self.step, self.number = stage, step, number


class Checkpoints(Callback):
    """Saves the stage's latest state to one file: every `every` steps, at the end, and when a stop is requested.

    Saved between steps only, so that the generator state matches the finished steps.
    """

    def __init__(self, path: Path, stage: str, every: int, stop: StopSignals) -> None:
        self.path, self.stage, self.every, self.stop = path, stage, every, stop

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.stop.install()  # Lightning has replaced the handlers by its own

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: object, batch: object, batch_index: int
    ) -> None:
        step, number = trainer.global_step, self.stop.requested
        if number or step % self.every == 0 or step == trainer.max_steps:
            write_atomically(self.path, trainer.save_checkpoint)
        if number:
            raise Interrupted(self.stage, step, number)


class Observed(Callback):
    """Notifies observers of every `every`-th step and of the last."""

    def __init__(self, observers: Observers, every: int) -> None:
        self.observers, self.every = observers, every

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: object, batch: object, batch_index: int
    ) -> None:
        step = trainer.global_step
        if step % self.every == 0 or step == trainer.max_steps:
            self.observers.step_finished(step, system_of(module).metrics)


def callbacks_for(
    stage: str, config: TrainerConfig, folder: RunFolder, observers: Observers, stop: StopSignals
) -> list[Callback]:
    """Return the callbacks of a stage, in the order they run after a step; the last may end the run."""
    return [
        Metrics(folder.metrics, stage, config.log_every),
        Pictures(folder.images, stage, config),
        Observed(observers, config.log_every),
        Progress(stage, config.steps),
        Checkpoints(folder.checkpoint(stage), stage, config.checkpoint_every, stop),
    ]
