"""Checks of the combination of components in a stage, before a run. Imports no torch.

A component whose settings depend on other components checks them in a method of its config, `check_neighbours(stage,
task)`, which raises `ValueError("field: must ...")`; `task` is None for a part of the scene.
"""

from __future__ import annotations

from collections.abc import Iterable

from bozzetto.errors import ConfigError
from bozzetto.parameters import check_stage_rates
from bozzetto.recipe import Component, Stage, Task
from bozzetto.spec import ComponentSpec

PHOTO = "reference"
"""Capability in a view source's `provides` that marks a photo."""


def check_stage(stage: Stage) -> None:
    """Raise `ConfigError` if the components of a stage are incompatible."""
    _check_needs(stage.components, stage, [component.entry.spec for component in stage.components])
    for part in stage.parts:
        _check_neighbours(part, stage, None)
    for task in stage.tasks:
        _check_task(task, stage)
    check_stage_rates(stage)


def check_exporters(exporters: Iterable[Component], last: Stage) -> None:
    """Raise `ConfigError` if an exporter requires something that the last stage does not provide."""
    for exporter in exporters:
        _check_needs([exporter], last, [component.entry.spec for component in last.components])
        _check_neighbours(exporter, last, None)


def _check_needs(components: Iterable[Component], stage: Stage, specs: list[ComponentSpec]) -> None:
    """Raise `ConfigError` unless the `needs` of every component are provided by the others."""
    provided = frozenset().union(*(spec.provides for spec in specs))
    for component in components:
        lacking = sorted(component.entry.spec.needs - provided)
        if lacking:
            raise ConfigError(
                f"{component.where}: {component.kind} {component.name!r} needs {', '.join(lacking)}, which no "
                f"component of this system provides. The geometry {stage.geometry.name!r} provides: "
                f"{', '.join(sorted(stage.geometry.entry.spec.provides))}."
            )


def _check_task(task: Task, stage: Stage) -> None:
    where = f"system.tasks.{task.name}"
    if not task.times.start_step < stage.trainer.steps:
        raise ConfigError(
            f"{where}.start_step: must be before the last step (trainer.steps is {stage.trainer.steps}) or the task "
            f"never runs, got {task.times.start_step}."
        )
    _check_neighbours(task.views, stage, task)
    for part in (task.guidance, task.score):
        if part is not None:
            _check_neighbours(part, stage, task)
    for term in task.terms:
        if term.component is None or term.weight.start == term.weight.end == 0.0:
            continue
        spec = term.component.entry.spec
        if PHOTO in spec.needs and PHOTO not in task.views.entry.spec.provides:
            raise ConfigError(
                f"{term.component.where}: loss {spec.name!r} compares with a photo, and the views of this task, "
                f"{task.views.name!r}, have none. Move it to a task with views that provide 'reference'."
            )
        _check_neighbours(term.component, stage, task)


def _check_neighbours(component: Component, stage: Stage, task: Task | None) -> None:
    check = getattr(component.config, "check_neighbours", None)
    if check is None:
        return
    try:
        check(stage, task)
    except ValueError as error:
        about_a_field = hasattr(component.config, str(error).partition(":")[0])
        raise ConfigError(f"{component.where}{'.' if about_a_field else ': '}{error}.") from error
