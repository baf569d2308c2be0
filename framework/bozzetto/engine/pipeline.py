"""A whole run: stages in order, each resumable, then the exports."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from bozzetto.config.stages import stages_from
from bozzetto.engine.build import Report, build_scene, build_system, make
from bozzetto.engine.checkpoints import Interrupted, load_into, read_checkpoint, require_finite, restore
from bozzetto.engine.inheritance import inherit
from bozzetto.engine.loop import Loop
from bozzetto.engine.observers import Observers
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.engine.photo_pictures import save_photos
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.stage_observers import stage_observers
from bozzetto.engine.stopping import StopSignals
from bozzetto.engine.undeclared import check_undeclared
from bozzetto.errors import ConfigError, ExportError
from bozzetto.kinds.scene import Scene
from bozzetto.machine.tuning import growing, tune_cuda
from bozzetto.math.silhouettes import edge_softness
from bozzetto.parameters import PARTS
from bozzetto.recipe import Recipe, Stage
from bozzetto.registry.discovery import Registry

__all__ = ["Interrupted", "Pipeline", "load_scene", "load_state"]

EDGE_VIEWS = 8
"""Views in which the silhouette softness is measured."""


@dataclass(frozen=True)
class Pipeline:
    """Everything that a run requires besides its recipe."""

    registry: Registry
    folder: RunFolder
    weights: Mapping[str, Path]
    """Local folder of each model, by the name used in the recipe."""
    cache: Path | None
    """Folder of cached text embeddings."""
    device: torch.device
    report: Report
    stop: StopSignals = field(default_factory=StopSignals)
    """Checked after each step for a request to stop."""

    def run(self, recipe: Recipe, from_stage: str | None = None) -> list[Path]:
        """Train every unfinished stage, then export.

        Args:
            from_stage: discard the training of this stage and those after it, and train them again.

        Returns:
            The exported files.

        Raises:
            ConfigError: there is no stage of that name.
            Interrupted: a stop was requested during training; the state is saved.
        """
        check_undeclared(recipe, self.registry, self.device)
        if from_stage:
            for stage in stages_from(recipe.stages, from_stage):
                self.folder.forget_stage(stage.name)
        self.folder.write_recipe(recipe)  # overrides may have changed it
        self.observers.run_started(recipe, self.folder.path)
        try:
            for index, stage in enumerate(recipe.stages):
                if not self.folder.finished(stage.name, stage.trainer.steps):
                    self.train(recipe, index)
            return self.export(recipe)
        except BaseException as error:
            self.observers.run_failed(error, self.folder.path)
            raise

    @cached_property
    def observers(self) -> Observers:
        """Observers of the whole run, so that each failure is reported once."""
        return Observers(self.registry.manager, self.report)

    def train(self, recipe: Recipe, index: int) -> None:
        """Train one stage from its checkpoint, from the previous stage, or from scratch.

        Raises:
            ConfigError: it has trained more steps already than the recipe has.
            Interrupted: a stop was requested; the state is saved.
        """
        stage, started = recipe.stages[index], time.monotonic()
        with self._begun_everywhere(recipe, index) as loop:
            for path in save_photos(loop.system.tasks, self.folder.images):
                self.report(f"photo     as it is used, cut out and framed: {path}")
            with self.stop, self.stop.deferred():
                watching = stage_observers(loop, stage, recipe, self.folder, self.observers, self.stop)
                loop.run(stage.trainer.steps, watching)
        facts = {"finished": True, "steps": loop.done, "seconds": round(time.monotonic() - started, 1)}
        if len(recipe.stages) > 1:
            facts["edge_softness"] = self._edges(loop.system.scene, recipe.stages[index - 1].name if index else None)
        self.folder.record_stage(stage.name, facts)
        self.observers.stage_finished(stage.name, loop.done, self.folder.path)
        if self.stop.requested:  # requested after the check of the last step
            raise Interrupted(stage.name, loop.done, self.stop.requested)

    @contextmanager
    def _begun_everywhere(self, recipe: Recipe, index: int) -> Iterator[Loop]:
        """Yield the loop of a stage, which trains in `trainer.devices` processes, this one included."""
        count = recipe.stages[index].trainer.devices
        if count == 1:
            yield self.begun(recipe, index)
            return
        from bozzetto.engine.workers import Job, threads_of_each, working

        job = Job(
            run_folder=str(self.folder.path),
            stage=index,
            count=count,
            device=self.device.type,
            threads=threads_of_each(self.device, count),
            weights={name: str(path) for name, path in self.weights.items()},
            cache=None if self.cache is None else str(self.cache),
        )
        with working(job) as workers:
            loop = self.begun(recipe, index)
            with workers.connected(self.stop) as processes:
                loop.join(processes)
                yield loop

    def begun(self, recipe: Recipe, index: int) -> Loop:
        """Return the loop of a stage: as its checkpoint holds it, else initialised from the previous stage or anew."""
        stage, checkpoint = recipe.stages[index], self.folder.checkpoint(recipe.stages[index].name)
        saved = read_checkpoint(checkpoint) if checkpoint.is_file() else None
        if saved and saved["global_step"] > stage.trainer.steps:
            raise ConfigError(
                f"trainer.steps: stage {stage.name} has trained {saved['global_step']} steps already, which cannot be "
                f"taken back. Train it again: --from-stage {stage.name} trainer.steps={stage.trainer.steps}"
            )
        state = saved["state_dict"] if saved else None
        tune_cuda(stage.trainer.tf32, stage.trainer.cudnn_benchmark)
        with growing():
            system = build_system(
                stage, recipe, self.registry, self.weights, self.device, self.cache, self.report, state
            )
        if state is not None:
            load_into(system, state, checkpoint)
        elif stage.inherit:
            before = recipe.stages[index - 1]
            scene = load_scene(recipe, self.registry, self.folder, self.device, before)
            inherit(system, stage, before, scene, self.report)
        loop = Loop(system, make_optimizer(system.scene_parameters(), stage.optimizer))
        if saved is not None:
            loop.done = restore(loop.optimizers, system.generator, saved, checkpoint)
        return loop

    def _edges(self, scene: Scene, before: str | None) -> float:
        """Measure and report the silhouette softness of a stage, see `edge_softness`, and of the previous stage."""
        with torch.no_grad():
            cameras = scene.views.eval_cameras(EDGE_VIEWS, scene.device)
            rendered = scene.render(cameras)
        softness = round(edge_softness(rendered.opacity), 4)
        earlier = self.folder.manifest["stages"].get(before, {}).get("edge_softness")
        if earlier is not None:
            self.report(
                f"edges     softness {softness:.3f}, after the stage before {earlier:.3f} "
                "(mean distance of the opacity from 0 and 1 near the silhouette)"
            )
        return softness

    def export(self, recipe: Recipe) -> list[Path]:
        """Export the last stage's scene with every exporter of the recipe.

        Raises:
            ExportError: an exporter failed; the others have still run.
        """
        scene = load_scene(recipe, self.registry, self.folder, self.device)
        self.folder.export.mkdir(parents=True, exist_ok=True)
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


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the system's weights in a checkpoint."""
    state: dict[str, torch.Tensor] = read_checkpoint(path)["state_dict"]
    return state


def load_scene(
    recipe: Recipe, registry: Registry, folder: RunFolder, device: torch.device, stage: Stage | None = None
) -> Scene:
    """Load the scene of a stage from its checkpoint; None: the last stage."""
    stage = stage or recipe.stages[-1]
    checkpoint = folder.checkpoint(stage.name)
    if not checkpoint.is_file():
        raise ConfigError(f"{folder.path} has no checkpoint of stage {stage.name!r}: train it first.")
    state = load_state(checkpoint)
    require_finite(state, checkpoint)
    scene = build_scene(stage, recipe.seed, registry, device, state)
    for part in PARTS:
        module, prefix = getattr(scene, part), f"{part}."
        load_into(module, {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}, checkpoint)
    scene.geometry.set_step(stage.trainer.steps)
    return scene
