"""Record of the changes that were made while a run trained: `changes.json` in its folder. Imports no torch.

A change acts on the steps from `step` on. The recipe of a run folder is the one that the run began with; the recipe at
a step is that one with the changes up to there as overrides, in the order in which they acted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bozzetto.config.layers import LETTERS, leaves, overlay, parse_overrides
from bozzetto.config.loading import load_recipe
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError, RunFolderError
from bozzetto.files import write_text
from bozzetto.recipe import Recipe
from bozzetto.registry.discovery import Registry


@dataclass(frozen=True)
class Change:
    """Field of the recipe that was changed between two steps."""

    stage: str
    """Stage that was trained."""
    step: int
    """Finished steps of the stage: the first step with the new value, counted from 0."""
    key: str
    """Dotted key of the recipe."""
    value: Any
    """Plain value, as in a recipe."""

    @property
    def override(self) -> str:
        """The change as the command line takes it: `key=value`."""
        return as_override(self.key, self.value)

    @property
    def line(self) -> str:
        """The change with its stage and step."""
        return f"{self.stage}, step {self.step}: {self.override}"


def as_override(key: str, value: object) -> str:
    """Return `key=value` with the value in JSON, a subset of YAML; letters as they are."""
    return f"{key}={value if key in LETTERS and isinstance(value, str) else json.dumps(value)}"


@dataclass(frozen=True)
class Changes:
    """Changes of a run, in the order in which they act."""

    folder: RunFolder

    @property
    def file(self) -> Path:
        """The record; missing in a run without changes."""
        return self.folder.path / "changes.json"

    def read(self, recipe: Recipe) -> list[Change]:
        """Return all changes, by stage and step; those of one step in the order in which they were made.

        Raises:
            RunFolderError: the record is damaged, or names a stage that the recipe does not have.
        """
        return self.of_stages([stage.name for stage in recipe.stages])

    def of_stages(self, names: Sequence[str]) -> list[Change]:
        """Return and raise as `read`, given the names of the recipe's stages in their order."""
        if not self.file.is_file():
            return []
        order = {name: place for place, name in enumerate(names)}
        try:
            entries = json.loads(self.file.read_text(encoding="utf-8"))
            if not isinstance(entries, list):
                raise ValueError("it is no list")
            found = [Change(**entry) for entry in entries]
            for change in found:
                if not isinstance(change.key, str) or type(change.step) is not int or change.stage not in order:
                    raise ValueError(f"there is no such change: {change}")
        except (ValueError, TypeError, RecursionError) as error:
            raise RunFolderError(
                f"The record of changes of this run, {self.file}, is damaged: {str(error)[:200]}. Put a copy of it "
                "back; or remove it, and train the run from its start without the changes: --from-stage "
                f"{names[0]}"
            ) from error
        return sorted(found, key=lambda change: (order[change.stage], change.step))

    def add(self, recipe: Recipe, changes: Sequence[Change]) -> None:
        """Record changes before they act."""
        entries = [asdict(one) for one in [*self.read(recipe), *changes]]
        write_text(self.file, json.dumps(entries, indent=2, ensure_ascii=False) + "\n")

    def until(self, recipe: Recipe, stage: int, done: int) -> list[Change]:
        """Return the changes that act on step `done` of a stage, given by its index: made in it or in earlier ones."""
        before = {one.name for one in recipe.stages[:stage]}
        name = recipe.stages[stage].name
        return [one for one in self.read(recipe) if one.stage in before or (one.stage == name and one.step <= done)]

    def later(self, recipe: Recipe, stage: int, done: int) -> list[Change]:
        """Return the changes that will act in a stage after `done` steps."""
        name = recipe.stages[stage].name
        return [one for one in self.read(recipe) if one.stage == name and one.step > done]

    def require_free(self, recipe: Recipe, overrides: Sequence[str]) -> None:
        """Raise `ConfigError` if a resumed run's override sets a field that was changed while the run trained."""
        changed = {change.key: change for change in self.read(recipe)}
        for key in leaves(parse_overrides(overrides)):
            if (change := changed.get(key)) is not None:
                raise ConfigError(
                    f"{key}: was set to {change.value!r} at step {change.step} of stage {change.stage} while the run "
                    f"trained, which is repeated. Change it again while it trains, or edit {self.file}"
                )


def recipe_with(recipe: Recipe, changes: Sequence[Change], folder: RunFolder, registry: Registry) -> Recipe:
    """Return the recipe of a run, kept in its folder, with changes; `recipe` itself if there are none.

    Raises:
        ConfigError: a change is no value of its field.
    """
    if not changes:
        return recipe
    return load_recipe(folder.recipe_file, registry, [change.override for change in changes], folder.profile)


def values_with(values: Mapping[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    """Return the plain values of a run's recipe with changes, unchecked, as they are told to a reader.

    Raises:
        ConfigError: a change has no value or key that a recipe can have.
    """
    return overlay(values, parse_overrides([change.override for change in changes]))
