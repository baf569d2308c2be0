"""Plugin hooks: three declare, five observe. None is part of the differentiable path.

Observers receive numbers, names and paths, never tensors. One that raises is reported once per hook and plugin, and the
run continues. The order of observers is unspecified; declare only the parameters you read.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from bozzetto.recipe import Recipe
    from bozzetto.spec import ComponentSpec, ModelSpec

__all__ = [
    "bozzetto_components",
    "bozzetto_models",
    "bozzetto_recipes",
    "bozzetto_run_failed",
    "bozzetto_run_finished",
    "bozzetto_run_started",
    "bozzetto_stage_finished",
    "bozzetto_step_finished",
    "hookimpl",
]

hookspec = pluggy.HookspecMarker("bozzetto")
hookimpl = pluggy.HookimplMarker("bozzetto")


@hookspec
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare components. Runs on `bozzetto plugins list`, so it must not import torch."""
    return ()


@hookspec
def bozzetto_recipes() -> Iterable[Path]:
    """Return folders of YAML recipes, addressed as `<distribution>/<recipe>` or `<recipe>`."""
    return ()


@hookspec
def bozzetto_models() -> Iterable[ModelSpec]:
    """Declare models: aliases of weights that the distribution ships, or that are downloaded. Must not import torch."""
    return ()


@hookspec
def bozzetto_run_started(recipe: Recipe, run_folder: Path) -> None:
    """Observe a run before its first step; again when it is resumed. `recipe` is frozen data."""


@hookspec
def bozzetto_step_finished(step: int, losses: dict[str, float]) -> None:
    """Observe a step, every `trainer.log_every` steps and at a stage's last.

    `step` counts the stage's finished steps from 1. `losses` has every metric of the step by `task/name`: unweighted
    losses, `task/opacity`, `gradient_norm`. It is a copy.
    """


@hookspec
def bozzetto_stage_finished(stage: str, steps: int, run_folder: Path) -> None:
    """Observe the end of a stage, after its checkpoint is written. `steps` is the total number of its steps."""


@hookspec
def bozzetto_run_finished(recipe: Recipe, run_folder: Path) -> Iterable[Path] | None:
    """Observe the end of a run, after its exports; again when it is exported once more.

    Files that the observer has written and returns are named to the user, as the exported ones are.
    """


@hookspec
def bozzetto_run_failed(reason: str, recipe: Recipe, run_folder: Path) -> Iterable[Path] | None:
    """Observe a run that ends early: an error in a stage or an export, or Ctrl-C.

    `reason` is one line, `NonFiniteError: loss random/sds is nan at step 3`, or `Interrupted: stopped in ...`.
    Files that the observer has written and returns are named to the user.
    """
