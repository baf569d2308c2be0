"""The shipped recipes of scores, as they are on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from bozzetto.config.loading import load_recipe
from bozzetto.recipe import Task
from bozzetto.registry.discovery import Registry

RECIPES = Path(__file__).parents[3] / "configs"


@pytest.fixture(scope="session")
def shipped(registry: Registry) -> Callable[[str], Task]:
    """`shipped(name)`: return the task with a score of a recipe, with the numbers of the profile `cuda`."""

    @cache
    def task(name: str) -> Task:
        recipe = load_recipe(RECIPES / f"{name}.yaml", registry, ["prompt=a ball"], "cuda")
        return next(task for task in recipe.stages[0].tasks if task.score)

    return task
