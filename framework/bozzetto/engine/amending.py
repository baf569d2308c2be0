"""Applies a changed recipe to a system between two steps, so that it goes on as one built from that recipe would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bozzetto.engine.build import Report, make, report_unknown_words
from bozzetto.engine.changes import Change, Changes, recipe_with
from bozzetto.engine.reference_photos import WithReferences
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.system import RunningTask, System
from bozzetto.errors import ConfigError
from bozzetto.kinds.prompt_processor import Condition
from bozzetto.kinds.reconfigurable import Reconfigurable
from bozzetto.kinds.view_source import ReferenceSource
from bozzetto.recipe import Component, Recipe, Stage, Task
from bozzetto.registry.discovery import Registry

CAN = (
    "prompt, negative_prompt, learning rates and clip_norm of the optimiser, weights of losses, times of tasks, and "
    "the fields of views without a photo, of guidances and of scores that allow it"
)
"""What can change while a run trains."""

Apply = Callable[[], object]
"""Part of a change whose preparation has succeeded."""


class Amender:
    """Applies changes to the system of one stage, and records them.

    Args:
        recipe: of the run, without changes.
        stage: index of the trained stage.
        done: finished steps; the system is built with the changes up to there.
        weights: local folder of each model, by the name used in the recipe.
        cache: folder of cached text embeddings.
    """

    def __init__(
        self, recipe: Recipe, stage: int, done: int, folder: RunFolder, registry: Registry,
        weights: Mapping[str, Path], cache: Path | None, report: Report,
    ) -> None:  # fmt: skip
        self.recipe, self.stage, self.folder, self.registry = recipe, stage, folder, registry
        self.weights, self.cache, self.report = weights, cache, report
        self.record = Changes(folder)
        self.acting = self.record.until(recipe, stage, done)
        """Changes that act, in their order."""
        self.later = self.record.later(recipe, stage, done)
        """Recorded changes of steps that are trained again."""
        self.current = recipe_with(recipe, self.acting, folder, registry)

    def repeat(self, done: int, system: System) -> list[Change]:
        """Apply and return the recorded changes of a step that is trained again."""
        repeated = []
        while self.later and self.later[0].step <= done:
            repeated.append(self.later.pop(0))
        if repeated:  # those of one step together: they may have been made together, and one alone be refused
            self._apply(repeated, system)[1]()
        return repeated

    def change(self, values: Mapping[str, Any], done: int, system: System) -> list[Change]:
        """Apply new values by dotted key after `done` steps, all of them or none, and record them first.

        Raises:
            UserError: one is no value of its field, or of a field that is fixed while training, or all act already.
        """
        stage = self.recipe.stages[self.stage].name
        changes = [Change(stage, done, key, value) for key, value in values.items()]
        differs, apply = self._apply(changes, system)
        if not differs:
            raise ConfigError(
                f"{', '.join(values)}: this changes nothing in stage {stage}: it has this value, or sets its own"
            )
        self.record.add(self.recipe, changes)
        apply()
        return changes

    def _apply(self, changes: Sequence[Change], system: System) -> tuple[bool, Apply]:
        """Prepare changes; return whether the stage differs, and what applies them and cannot fail."""
        acting = [*self.acting, *changes]
        after = recipe_with(self.recipe, acting, self.folder, self.registry)
        steps = self._steps(after, system)

        def apply() -> None:
            for step in steps:
                step()
            self.acting, self.current = acting, after

        return bool(steps), apply

    def _steps(self, after: Recipe, system: System) -> list[Apply]:
        """Prepare whatever differs; components that change their settings have done so already."""
        before, stage = self.current.stages[self.stage], after.stages[self.stage]
        _require_changeable(self.current, after, self.stage)
        steps: list[Apply] = []
        if stage.optimizer != before.optimizer:
            steps.append(lambda: setattr(system, "optimizer_config", stage.optimizer))
        told = (after.prompt, after.negative_prompt) != (self.current.prompt, self.current.negative_prompt)
        tasks = []
        for running, old, new in zip(system.tasks, before.tasks, stage.tasks, strict=True):
            tasks.append(self._task(running, old, new))
            if told and running.condition is not None:
                tasks[-1] = replace(tasks[-1], condition=self._condition(running, new, stage, after))
        if told or stage.tasks != before.tasks:
            steps.append(lambda: _set_tasks(system, tuple(tasks)))
        _reconfigure(
            [
                item
                for triple in zip(system.tasks, before.tasks, stage.tasks, strict=True)
                for item in _settings(*triple)
            ]
        )
        return steps

    def _task(self, running: RunningTask, old: Task, new: Task) -> RunningTask:
        """Return a task with new times, views and weights."""
        views = running.views
        if new.views != old.views:
            if isinstance(views, ReferenceSource):
                raise ConfigError(f"{new.views.where}: has read its photo, so its fields are fixed while training")
            views = make(self.registry, new.views)
        terms = tuple(replace(term, weight=fresh.weight) for term, fresh in zip(running.terms, new.terms, strict=True))
        return replace(running, times=new.times, views=views, terms=terms)

    def _condition(self, running: RunningTask, task: Task, stage: Stage, recipe: Recipe) -> Condition:
        """Encode the prompts of a recipe for a task."""
        assert running.guidance is not None and task.guidance is not None
        if (folder := self.weights.get(task.guidance.model)) is not None:
            report_unknown_words(running.guidance, folder, recipe.prompt, self.report)
        processor = make(self.registry, stage.prompt_processor, recipe.prompt, recipe.negative_prompt)
        made: Condition = processor.encode(running.guidance, self.cache)
        old = running.condition
        return replace(old, condition=made) if isinstance(old, WithReferences) else made


Settings = tuple[object, Component, Component]
"""Part of a task, and its declaration before and after."""


def _settings(running: RunningTask, old: Task, new: Task) -> list[Settings]:
    """Return the parts of a task's guidance whose settings differ."""
    guided = running.guidance
    pairs = (
        (getattr(guided, "guidance", guided), old.guidance, new.guidance),
        (getattr(guided, "score", None), old.score, new.score),
    )
    return [(part, one, other) for part, one, other in pairs if one is not None and other is not None and one != other]


def _reconfigure(changed: list[Settings]) -> None:
    """Let all parts take their new settings, or none of them."""
    done: list[tuple[Reconfigurable, Component]] = []
    for part, before, after in changed:
        try:
            if not isinstance(part, Reconfigurable):
                raise ConfigError(f"{after.name} cannot change its settings while training")
            part.reconfigure(after.config)
        except ConfigError as error:
            for earlier, its in done:
                earlier.reconfigure(its.config)
            raise ConfigError(f"{after.where}.{error}") from error
        done.append((part, before))


def _set_tasks(system: System, tasks: tuple[RunningTask, ...]) -> None:
    system.tasks = tasks
    system.scene = replace(system.scene, views=tasks[0].views)


def _require_changeable(before: Recipe, after: Recipe, stage: int) -> None:
    """Raise `ConfigError` if the recipes differ in a field of the stage that is fixed while it trains."""
    old, new = before.stages[stage], after.stages[stage]
    fixed = [
        *(key for key in ("name", "seed", "device", "output", "image") if getattr(before, key) != getattr(after, key)),
        *(part.where for part, other in zip(new.parts, old.parts, strict=True) if part != other),
        *(["trainer"] if new.trainer != old.trainer else []),
        *(["inherit"] if new.inherit != old.inherit else []),
    ]
    rates = replace(old.optimizer, lr=new.optimizer.lr, lr_of=new.optimizer.lr_of, clip_norm=new.optimizer.clip_norm)
    if rates != new.optimizer or old.optimizer.lr_of.keys() != new.optimizer.lr_of.keys():
        fixed.append("system.optimizer")
    if [task.name for task in old.tasks] != [task.name for task in new.tasks]:
        fixed.append("system.tasks")
    else:
        for one, other in zip(old.tasks, new.tasks, strict=True):
            fixed += _fixed_in_task(one, other)
    if fixed:
        raise ConfigError(f"{fixed[0]}: cannot change while a run trains. What can: {CAN}")


def _fixed_in_task(old: Task, new: Task) -> list[str]:
    fixed = []
    for key in ("views", "guidance", "score"):
        one, other = getattr(old, key), getattr(new, key)
        if (one and one.entry) != (other and other.entry):
            fixed.append(f"system.tasks.{new.name}.{key}.type")
    losses = [[(term.name, term.component) for term in task.terms] for task in (old, new)]
    return [*fixed, *([f"system.tasks.{new.name}.losses"] if losses[0] != losses[1] else [])]
