"""Checks of the combination of components in a stage, before a run. Imports no torch.

A component whose settings depend on other components checks them in a method of its config, `check_neighbours(stage,
task)`, which raises `ValueError("field: must ...")`; `task` is None for a part of the scene.
"""

from __future__ import annotations

from collections.abc import Iterable

from bozzetto.errors import ConfigError
from bozzetto.parameters import check_stage_rates
from bozzetto.recipe import Component, Stage, Task

PHOTO = "reference"
"""Capability in a view source's `provides` that marks a photo."""


def check_stage(stage: Stage) -> None:
    """Raise `ConfigError` if the components of a stage are incompatible."""
    for part in stage.parts:
        for task in stage.tasks:  # a part of the scene is in all of them
            _check_needs(part, _provided((*stage.parts, *task.components)), stage, task)
        _check_neighbours(part, stage, None)
    for task in stage.tasks:
        _check_task(task, stage)
    check_stage_rates(stage)


def check_exporters(exporters: Iterable[Component], last: Stage) -> None:
    """Raise `ConfigError` if an exporter requires something that the last stage does not provide."""
    for exporter in exporters:
        _check_needs(exporter, _provided(last.components), last, None)
        _check_neighbours(exporter, last, None)


def _check_needs(component: Component, provided: frozenset[str], stage: Stage, task: Task | None) -> None:
    """Raise `ConfigError` unless the component's `needs` are provided.

    Args:
        provided: capabilities of the scene, and of the components of `task`.
    """
    lacking = sorted(component.entry.spec.needs - provided)
    if not lacking:
        return
    needs = f"{component.where}: {component.kind} {component.name!r} needs {', '.join(lacking)}, which"
    elsewhere = [one for one in stage.components if one.entry.spec.provides & set(lacking)]
    if task is not None and elsewhere:
        one = elsewhere[0]
        move = f"Move the {component.kind} there, or give" if component in task.components else "Give"
        raise ConfigError(
            f"{needs} nothing in the task {task.name!r} provides: {one.kind} {one.name!r}, at {one.where}, does so for "
            f"its own task alone. {move} {task.name!r} such a {one.kind}."
        )
    raise ConfigError(
        f"{needs} no component of this system provides. The geometry {stage.geometry.name!r} provides: "
        f"{', '.join(sorted(stage.geometry.entry.spec.provides))}."
    )


def _provided(components: Iterable[Component]) -> frozenset[str]:
    return frozenset().union(*(component.entry.spec.provides for component in components))


def _provided_to(component: Component, stage: Stage, task: Task) -> frozenset[str]:
    """Return the capabilities that reach a component of a task; a guidance is given the photos of all tasks."""
    own = _provided((*stage.parts, *task.components))
    return own | (_provided(other.views for other in stage.tasks) & {PHOTO} if component.kind == "guidance" else set())


def _check_task(task: Task, stage: Stage) -> None:
    where = f"system.tasks.{task.name}"
    if not task.times.start_step < stage.trainer.steps:
        raise ConfigError(
            f"{where}.start_step: must be before the last step (trainer.steps is {stage.trainer.steps}) or the task "
            f"never runs, got {task.times.start_step}."
        )
    unused = [term.component for term in task.terms if term.weight.start == term.weight.end == 0.0]
    for component in task.components:
        if component in unused:  # a loss of weight 0 is never computed
            _check_needs(component, _provided(stage.components), stage, task)
            continue
        _check_needs(component, _provided_to(component, stage, task), stage, task)
        _check_neighbours(component, stage, task)


def _check_neighbours(component: Component, stage: Stage, task: Task | None) -> None:
    check = getattr(component.config, "check_neighbours", None)
    if check is None:
        return
    try:
        check(stage, task)
    except ValueError as error:
        about_a_field = hasattr(component.config, str(error).partition(":")[0])
        raise ConfigError(f"{component.where}{'.' if about_a_field else ': '}{error}.") from error
