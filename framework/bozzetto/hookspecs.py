"""The hooks of a plugin: two declare, four observe. None of them lies in the differentiable path.

An observer gets numbers, names and paths, never tensors. One that raises is reported once per hook and plugin, and
the run goes on. Observers are called in no particular order; write only the parameters you read.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from bozzetto.recipe import Recipe
    from bozzetto.spec import ComponentSpec

hookspec = pluggy.HookspecMarker("bozzetto")
hookimpl = pluggy.HookimplMarker("bozzetto")


@hookspec
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare components. Runs on `bozzetto plugins list`, so it must not import torch."""
    return ()


@hookspec
def bozzetto_recipes() -> Iterable[Path]:
    """Folders of YAML recipes, addressed as `<distribution>/<recipe>` or `<recipe>`."""
    return ()


@hookspec
def bozzetto_run_started(recipe: Recipe, run_folder: Path) -> None:
    """Observe a run before its first step; again when it is resumed. `recipe` is frozen data."""


@hookspec
def bozzetto_step_finished(step: int, losses: dict[str, float]) -> None:
    """Observe a step, every `trainer.log_every` steps and at a stage's last.

    `step` counts the stage's finished steps from 1. `losses` holds every number of the step by `task/name`: losses
    before their weights, `task/opacity`, `gradient_norm`. It is a copy.
    """


@hookspec
def bozzetto_stage_finished(stage: str, steps: int, run_folder: Path) -> None:
    """Observe the end of a stage, after its checkpoint is written. `steps` is how many it trained in all."""


@hookspec
def bozzetto_run_failed(reason: str, run_folder: Path) -> None:
    """Observe a run that ends before its end: an error in a stage or an export, or Ctrl-C.

    `reason` is one line, `NonFiniteError: loss random/sds is nan at step 3`, or `Interrupted: stopped in ...`.
    """
