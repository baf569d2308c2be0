"""A whole run: stages in order, each resumable, then the exports."""

from __future__ import annotations

import itertools
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import lightning
import torch

from bozzetto.build import Report, build_scene, build_system, make
from bozzetto.callbacks import callbacks_for
from bozzetto.errors import ConfigError, ExportError
from bozzetto.inheritance import inherit
from bozzetto.kernels.startup import growing
from bozzetto.kinds.exporter import Scene
from bozzetto.math.silhouettes import edge_softness
from bozzetto.observers import Observers
from bozzetto.recipe import Recipe, Stage
from bozzetto.registry import Registry
from bozzetto.run_folder import RunFolder
from bozzetto.stages import stages_from
from bozzetto.undeclared import check_undeclared

EDGE_VIEWS = 8
"""Pictures in which silhouettes are measured."""


class Interrupted(Exception):
    """The user stopped the run; its state is saved."""

    def __init__(self, stage: str, step: int) -> None:
        super().__init__(f"stopped in stage {stage} at step {step}")
        self.stage, self.step = stage, step


@dataclass(frozen=True)
class Pipeline:
    """What a run needs besides its recipe."""

    registry: Registry
    folder: RunFolder
    weights: Mapping[str, Path]
    """Local folder of each model, by the name the recipe gives it."""
    cache: Path | None
    """Folder of text embeddings."""
    device: torch.device
    report: Report

    def run(self, recipe: Recipe, from_stage: str | None = None) -> list[Path]:
        """Train every stage that is not finished, then export.

        Args:
            from_stage: forget what this stage and those after it have done, and train them again.

        Returns:
            The exported files.

        Raises:
            ConfigError: there is no stage of that name.
            Interrupted: Ctrl-C; everything is saved.
        """
        if from_stage:
            forgotten = stages_from(recipe.stages, from_stage)
            self.folder.write_recipe(recipe)  # it may have been overridden for this
            for stage in forgotten:
                self.folder.forget_stage(stage.name)
        check_undeclared(recipe, self.registry, self.device)
        self.observers.run_started(recipe, self.folder.path)
        try:
            for index, stage in enumerate(recipe.stages):
                if not self.folder.finished(stage.name):
                    self.train(recipe, index)
            return self.export(recipe)
        except BaseException as error:
            self.observers.run_failed(error, self.folder.path)
            raise

    @cached_property
    def observers(self) -> Observers:
        """The plugins that watch; one object for the whole run, so that each failure is told once."""
        return Observers(self.registry.manager, self.report)

    def train(self, recipe: Recipe, index: int) -> None:
        """Train one stage from its checkpoint, or from the stage before, or from scratch."""
        stage, started = recipe.stages[index], time.monotonic()
        with growing():
            system = build_system(stage, recipe, self.registry, self.weights, self.device, self.cache, self.report)
        checkpoint = self.folder.checkpoint(stage.name)
        if not checkpoint.is_file() and stage.inherit:
            before = recipe.stages[index - 1]
            scene = load_scene(recipe, self.registry, self.folder, self.device, before)
            inherit(system, stage, before, scene, self.report)
        trainer = self._trainer(stage)
        with warnings.catch_warnings(), restored_interrupt():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="lightning")
            warnings.filterwarnings("ignore", ".*LeafSpec.*")
            try:
                resume = checkpoint if checkpoint.is_file() else None
                trainer.fit(system, itertools.repeat(0), ckpt_path=resume, weights_only=True)
            except (KeyboardInterrupt, SystemExit) as stop:
                if not isinstance(stop, KeyboardInterrupt) and not isinstance(stop.__context__, KeyboardInterrupt):
                    raise
                raise Interrupted(stage.name, trainer.global_step) from None
        facts = {"finished": True, "steps": trainer.global_step, "seconds": round(time.monotonic() - started, 1)}
        if len(recipe.stages) > 1:
            facts["edge_softness"] = self._edges(system.scene, recipe.stages[index - 1].name if index else None)
        self.folder.record_stage(stage.name, facts)
        self.observers.stage_finished(stage.name, trainer.global_step, self.folder.path)

    def _edges(self, scene: Scene, before: str | None) -> float:
        """How soft the silhouette is that a stage leaves, see `edge_softness`; said beside that of the stage before."""
        with torch.no_grad():
            cameras = scene.views.eval_cameras(EDGE_VIEWS, scene.device)
            shading = scene.material.eval_shading(cameras)
            rendered = scene.renderer(cameras, scene.geometry, scene.material, scene.background, shading)
        softness = round(edge_softness(rendered.opacity), 4)
        earlier = self.folder.manifest["stages"].get(before, {}).get("edge_softness")
        if earlier is not None:
            self.report(
                f"edges     softness {softness:.3f}, after the stage before {earlier:.3f} "
                "(mean distance of the opacity from 0 and 1 near the silhouette)"
            )
        return softness

    def _trainer(self, stage: Stage) -> lightning.Trainer:
        return lightning.Trainer(
            max_steps=stage.trainer.steps,
            accelerator=self.device.type,
            devices=[self.device.index or 0] if self.device.type != "cpu" else 1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=self.folder.path,
            callbacks=callbacks_for(stage.name, stage.trainer, self.folder, self.observers),
        )

    def export(self, recipe: Recipe) -> list[Path]:
        """Export the last stage's scene with every exporter of the recipe.

        Raises:
            ExportError: an exporter could not; the others have still run.
        """
        scene = load_scene(recipe, self.registry, self.folder, self.device)
        written: list[Path] = []
        failures: list[str] = []
        for name, component in recipe.exports:
            try:
                exported = make(self.registry, component).export(scene, self.folder.export, self.report)
            except ExportError as error:
                failures.append(f"export.{name}: {error}")
                continue
            written += exported.files
            self.folder.record_export(name, exported.files, exported.facts)
        if failures:
            raise ExportError(" ".join(failures))
        return written


@contextmanager
def restored_interrupt() -> Iterator[None]:
    """Put Ctrl-C's handler back afterwards: Lightning, once interrupted, leaves it switched off."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """The system's weights in a checkpoint."""
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def load_scene(
    recipe: Recipe, registry: Registry, folder: RunFolder, device: torch.device, stage: Stage | None = None
) -> Scene:
    """The scene of a stage as its checkpoint holds it; None: of the last."""
    stage = stage or recipe.stages[-1]
    checkpoint = folder.checkpoint(stage.name)
    if not checkpoint.is_file():
        raise ConfigError(f"{folder.path} has no checkpoint of stage {stage.name!r}: train it first.")
    scene = build_scene(stage, recipe.seed, registry, device)
    state = load_state(checkpoint)
    for part in ("geometry", "material", "background", "renderer"):
        module, prefix = getattr(scene, part), f"{part}."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    scene.geometry.set_step(stage.trainer.steps)
    return scene
