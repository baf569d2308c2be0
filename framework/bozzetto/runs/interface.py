"""The Python interface: generate an object, open a run, check and list recipes. No torch until a run begins."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bozzetto.config.layers import LETTERS
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.run_lock import locked
from bozzetto.engine.stopping import Stopped, StopSignals
from bozzetto.hookspecs import hookimpl
from bozzetto.machine import accelerators as hardware
from bozzetto.recipe import Recipe
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.registry.sources import import_limit_s
from bozzetto.runs.finished_run import Run
from bozzetto.runs.start import Prepared, Report, opened, prepare, prepare_to_resume

__all__ = ["Run", "check", "generate", "open_run", "recipes", "resume"]

OnStep = Callable[[int, Mapping[str, float]], None]
"""Receives the finished steps of the stage and the logged numbers, every `trainer.log_every` steps."""


def generate(
    prompt: str | None = None, *, recipe: str | Path = "dreamfusion-sd", image: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None, profile: str = "auto", on_step: OnStep | None = None,
    report: Report = print,
) -> Run:  # fmt: skip
    """Train a recipe and export the result, as `bozzetto run` does.

    Args:
        prompt: what to make; None: the recipe's prompt.
        recipe: name of a shipped recipe, or path of a YAML file.
        image: photo for recipes that read one.
        overrides: values by dotted path, e.g. `{"trainer.steps": 300}`.
        profile: one of the recipe's profiles; `auto` chooses what fits this machine.
        report: receives each line that the command would print.

    Raises:
        UserError: the recipe cannot run here; the message says what to change.
        Interrupted: Ctrl-C was pressed while a step was trained; the state is saved, and `resume` continues.
    """
    given = {"prompt": prompt, "image": None if image is None else str(image)}
    settings = [f"{name}={value}" for name, value in given.items() if value is not None] + as_settings(overrides)
    registry = _registry()
    prepared = prepare(str(recipe), registry, settings, profile, hardware.detect())
    for line in prepared.recipe.notices:
        report(f"notice    {line}")
    return _trained(prepared, registry, f"generate({prompt!r})", on_step, report, None)


def resume(
    run: Run | str | Path, *, overrides: Mapping[str, Any] | None = None, on_step: OnStep | None = None,
    report: Report = print,
) -> Run:  # fmt: skip
    """Continue an interrupted run, or train a finished one further: `overrides={"trainer.steps": 600}`.

    Raises:
        UserError: an override cannot act any more, or another process works in the folder.
        Interrupted: as in `generate`.
    """
    folder, registry = RunFolder.existing(_path(run)), _registry()
    with locked(folder.path, report):
        prepared, told = prepare_to_resume(folder, registry, as_settings(overrides), None, hardware.detect())
        folder.tidy()
        for line in told:
            report(f"notice    {line}")
        return _trained(prepared, registry, f"resume({str(folder.path)!r})", on_step, report, folder)


def open_run(path: str | Path) -> Run:
    """Open the folder of an earlier run.

    Raises:
        RunFolderError: the folder is not one, or it is damaged.
    """
    return Run(RunFolder.existing(_path(path)), _registry())


def check(
    recipe: str | Path = "dreamfusion-sd", *, overrides: Mapping[str, Any] | None = None, profile: str = "auto"
) -> Recipe:
    """Validate a recipe as `bozzetto check` does, without torch.

    Returns:
        The recipe as it would run, frozen.

    Raises:
        UserError: it cannot run here; the message says what to change.
    """
    return prepare(str(recipe), _registry(), as_settings(overrides), profile, hardware.detect()).recipe


def recipes() -> tuple[str, ...]:
    """Return the names of all installed recipes, those of this distribution first."""
    folders = sorted(_registry().recipe_folders, key=lambda one: one[0] != "bozzetto")
    return tuple(dict.fromkeys(path.stem for _, folder in folders for path in sorted(folder.glob("*.yaml"))))


def as_settings(overrides: Mapping[str, Any] | None) -> list[str]:
    """Return overrides as the command line takes them: `key=value`, values in JSON, a subset of YAML; letters as is."""
    return [
        f"{key}={value if key in LETTERS and isinstance(value, str) else json.dumps(value)}"
        for key, value in (overrides or {}).items()
    ]


class _Listener:
    """Plugin that passes finished steps on to a function."""

    def __init__(self, on_step: OnStep) -> None:
        self.on_step = on_step

    @hookimpl
    def bozzetto_step_finished(self, step: int, losses: dict[str, float]) -> None:
        self.on_step(step, losses)


def _trained(
    prepared: Prepared, registry: Registry, command: str, on_step: OnStep | None, report: Report,
    folder: RunFolder | None,
) -> Run:  # fmt: skip
    """Train and export, in a new folder or in `folder`, which is locked."""
    if on_step is not None:
        registry.manager.register(_Listener(on_step), name="on_step")
    try:
        with StopSignals() as stop, opened(prepared, registry, ["python", command], report, stop, folder) as pipeline:
            for path in pipeline.run(prepared.recipe):
                report(f"wrote     {path}")
            return Run(RunFolder(pipeline.folder.path.absolute()), _registry())
    except Stopped as stopped:  # no step was being trained
        raise KeyboardInterrupt from stopped


def _path(run: Run | str | Path) -> Path:
    return run.path if isinstance(run, Run) else Path(run).expanduser()


def _registry() -> Registry:
    return Registry.discover(installed_sources(os.environ), limit_s=import_limit_s(os.environ))
