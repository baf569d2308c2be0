"""What differs between recipes: of a run from its parent, and of several runs from one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bozzetto.config import layers
from bozzetto.config.layers import LETTERS
from bozzetto.config.recipe_file import find_recipe, read_recipe
from bozzetto.errors import UserError
from bozzetto.registry.discovery import Registry
from bozzetto_report.facts import RunFacts, mapping

NOT_SAID = "–"
"""Shown for a key that a recipe does not have."""
UNINTERESTING = ("name", "provided_by", "output", "profiles", "extends", "summary", "plugins")
"""Keys at the top that say nothing about what is trained."""


@dataclass(frozen=True)
class Difference:
    """Key whose values differ."""

    key: str
    """Dotted."""
    values: tuple[str, ...]
    """One per recipe, in their order."""


@dataclass(frozen=True)
class Parent:
    """Recipe that a run changes."""

    name: str
    values: Mapping[str, Any]


def leaves(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the values of a recipe by dotted key, as text; lists, and schedules without nested mappings, stay whole."""
    flat = isinstance(values, Mapping) and {"from", "to"} <= set(values)
    if isinstance(values, Mapping) and values and not flat:
        for name, value in values.items():
            if key or name not in UNINTERESTING:
                yield from leaves(value, f"{key}.{name}" if key else str(name))
    elif flat:
        yield key, ", ".join(f"{name} {value}" for name, value in values.items())
    else:
        yield key, _shown(values)


def differences(recipes: Sequence[Mapping[str, Any]]) -> tuple[Difference, ...]:
    """Return the keys whose values are not the same in all recipes, in the order in which they appear."""
    flat = [dict(leaves(recipe)) for recipe in recipes]
    keys = dict.fromkeys(key for values in flat for key in values if key)
    rows = (Difference(key, tuple(values.get(key, NOT_SAID) for values in flat)) for key in keys)
    return tuple(row for row in rows if len(set(row.values)) > 1 and not _same_file(row.values))


def _same_file(values: Sequence[str]) -> bool:
    """Return whether two values are one file: a path relative to a recipe, and the absolute one in the run's folder."""
    first, second = (values[0], values[-1])
    relative = first.removeprefix("./")
    return len(values) == 2 and bool(relative) and second.startswith("/") and second.endswith(f"/{relative}")


def parent_of(run: RunFacts, registry: Registry) -> Parent | None:
    """Return the recipe that a run changes: the shipped one that it names, else the one that its file extends.

    None: there is none, or its file cannot be found or read any more.
    """
    said = run.manifest.get("recipe_file")
    profile = str(run.manifest.get("profile") or "")
    try:
        path = Path(said) if isinstance(said, str) and Path(said).is_file() else find_recipe(run.name, registry)
        file = read_recipe(path, registry)
        if not file.dist:  # a file of the user's own
            if file.parent is None:
                return None
            file = file.parent
        said_here = file.layered(profile)
        words = {key: run.recipe[key] for key in LETTERS if key in run.recipe}  # interpolations may read them
        values = {**layers.resolve({**said_here, **words}), **dict.fromkeys(words)}
    except (UserError, OSError, ValueError, RecursionError):
        return None
    values.update({key: said_here[key] for key in words if key in said_here})
    return Parent(file.path.stem, {key: value for key, value in values.items() if value is not None})


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping) and not value:
        return "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)


def stage_steps(recipe: Mapping[str, Any], stage: str) -> int | None:
    """Return the steps that a recipe gives a stage; None if it does not say."""
    for place in (mapping(mapping(recipe.get("stages")).get(stage)), recipe):
        steps = mapping(place.get("trainer")).get("steps")
        if isinstance(steps, int):
            return steps
    return None
