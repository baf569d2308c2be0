"""A whole run: stages in order, each resumable, then the exports."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from bozzetto.config.stages import stages_from
from bozzetto.engine.amending import Amender
from bozzetto.engine.build import Report, build_scene, build_system, make
from bozzetto.engine.changes import Changes, recipe_with
from bozzetto.engine.checkpoints import Interrupted, load_into, read_checkpoint, require_finite, restore
from bozzetto.engine.inheritance import inherit
from bozzetto.engine.kernel_choice import use_kernels
from bozzetto.engine.laps import TRAINING, Lapped, Laps
from bozzetto.engine.loggers import loggers_of
from bozzetto.engine.loop import Loop
from bozzetto.engine.observers import Observers, reason_of
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.engine.photo_pictures import save_photos
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.stage_observers import stage_observers
from bozzetto.engine.stopping import Stopped, StopSignals
from bozzetto.engine.undeclared import check_undeclared
from bozzetto.errors import ConfigError, ExportError, RunFolderError
from bozzetto.kinds.scene import Scene
from bozzetto.live import Live
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
            The exported files, then those that observers have written.

        Raises:
            ConfigError: there is no stage of that name.
            Interrupted: a stop was requested during training; the state is saved.
        """
        check_undeclared(recipe, self.registry, self.device)
        if from_stage:
            for stage in stages_from(recipe.stages, from_stage):
                self.folder.forget_stage(stage.name)
        self.folder.write_recipe(recipe)  # overrides may have changed it
        Live(self.folder.path).take()  # requests to a process that has ended
        self.folder.record({"end": None})
        self.observers.run_started(recipe, self.folder.path)
        try:
            for index, stage in enumerate(recipe.stages):
                if not self.folder.finished(stage.name, stage.trainer.steps):
                    self.train(recipe, index)
            files = self.export(recipe)
            self.folder.record_end("finished")
        except BaseException as error:
            stopped = isinstance(error, Interrupted | Stopped | KeyboardInterrupt)
            with suppress(OSError, RunFolderError):  # the error itself is what matters
                if isinstance(error, Interrupted):
                    self.folder.record_stage(error.stage, {"steps": error.step})
                self.folder.record_end("stopped" if stopped else "failed", reason_of(error))
            self.observers.run_failed(reason_of(error), recipe, self.folder.path)
            raise
        return [*files, *self.observers.run_finished(recipe, self.folder.path)]

    def export_again(self, recipe: Recipe) -> list[Path]:
        """Export what has been trained; a run whose export failed may finish by this. Returns and raises as `run`."""
        files = self.export(recipe)
        if not all(self.folder.finished(stage.name, stage.trainer.steps) for stage in recipe.stages):
            return files
        self.folder.record_end("finished")
        return [*files, *self.observers.run_finished(recipe, self.folder.path)]

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
        with self._timed(stage) as laps, self._begun_everywhere(recipe, index) as loop:
            laps.lap("building")
            for path in save_photos(loop.system.tasks, self.folder.images):
                self.report(f"photo     as it is used, cut out and framed: {path}")
            with self.stop, self.stop.deferred():
                amender = self._amender(recipe, index, loop.done)
                watching = stage_observers(
                    loop, stage, recipe, self.folder, self.observers, self.stop, amender, self.report
                )
                loop.run(stage.trainer.steps, [Lapped(one, type(one).__name__.lower(), laps) for one in watching])
        facts = {"finished": True, "steps": loop.done, "seconds": round(time.monotonic() - started, 1)}
        if len(recipe.stages) > 1:
            facts["edge_softness"] = self._edges(loop.system.scene, recipe.stages[index - 1].name if index else None)
        self.folder.record_stage(stage.name, facts)
        self.observers.stage_finished(stage.name, loop.done, self.folder.path)
        if self.stop.requested:  # requested after the check of the last step
            raise Interrupted(stage.name, loop.done, self.stop.requested)

    def _amender(self, recipe: Recipe, index: int, done: int) -> Amender | None:
        """Return what changes the recipe of a stage while it trains; None if several processes train it."""
        amender = Amender(recipe, index, done, self.folder, self.registry, self.weights, self.cache, self.report)
        if recipe.stages[index].trainer.devices == 1:
            return amender
        if amender.later:
            raise ConfigError(
                f"trainer.devices: this run is changed at step {amender.later[0].step}, as {amender.record.file} says, "
                "and several processes cannot change while they train. Go on in one: trainer.devices=1"
            )
        return None

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[Laps]:
        """Yield a clock, whose seconds are recorded however the stage ends, with those of earlier sessions."""
        laps = Laps()
        try:
            yield laps
        finally:
            laps.lap(TRAINING)
            with suppress(OSError, RunFolderError):  # no stage fails because of its timings
                before = self.folder.manifest.get("stages", {}).get(stage.name, {}).get("seconds_by_part")
                self.folder.record_stage(stage.name, {"seconds_by_part": laps.added_to(before)})

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
        use_kernels(stage.trainer)
        saved = read_checkpoint(checkpoint) if checkpoint.is_file() else None
        if saved and saved["global_step"] > stage.trainer.steps:
            raise ConfigError(
                f"trainer.steps: stage {stage.name} has trained {saved['global_step']} steps already, which cannot be "
                f"taken back. Train it again: --from-stage {stage.name} trainer.steps={stage.trainer.steps}"
            )
        done = saved["global_step"] if saved else 0
        recipe = recipe_with(recipe, Changes(self.folder).until(recipe, index, done), self.folder, self.registry)
        stage, state = recipe.stages[index], saved["state_dict"] if saved else None
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
        if state is None:
            system.begin()
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
            started = time.monotonic()
            try:
                exported = make(self.registry, component).export(scene, self.folder.export, self.report)
            except ExportError as error:
                failures.append(f"export.{name}: {error}")
                continue
            written += exported.files
            self.folder.record_export(
                name, exported.files, {**exported.facts, "seconds": round(time.monotonic() - started, 1)}
            )
        self._log_exported(recipe, written)
        if failures:
            raise ExportError(" ".join(failures))
        return written

    def _log_exported(self, recipe: Recipe, files: Sequence[Path]) -> None:
        """Give the exported GLB files to the loggers of the last stage."""
        last = recipe.stages[-1]
        loggers = loggers_of(last, recipe, self.folder, last.trainer.steps)
        try:
            for file in files:
                if file.suffix == ".glb":
                    loggers.mesh(file.stem, file, last.trainer.steps)
        finally:
            loggers.close()


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
