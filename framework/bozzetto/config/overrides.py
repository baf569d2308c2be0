"""Effect of command-line overrides: the stages that they affect, and those that they do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bozzetto.config import layers
from bozzetto.errors import ConfigError, did_you_mean

LAYERED = ("system", "trainer")
"""Keys of a recipe that a stage can override."""


def effective(values: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Return `system` and `trainer` as seen by a stage; those of the recipe if the stage does not exist."""
    own = (values.get("stages") or {}).get(stage) or {}
    return {key: layers.overlay(values.get(key) or {}, own.get(key) or {}) for key in LAYERED}


def shadowed(overrides: Iterable[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a notice for each override of `system` or `trainer` that is hidden by a stage's own value.

    Args:
        values: recipe values with the overrides applied.
    """
    stages = {str(name): effective(values, name) for name, stage in (values.get("stages") or {}).items() if stage}
    told = []
    for item in overrides:
        for key in layers.leaves(layers.parse_overrides([item])):
            if key.partition(".")[0] not in LAYERED:
                continue
            hidden = [n for n, seen in stages.items() if layers.value_at(seen, key) != layers.value_at(values, key)]
            if hidden:
                told.append(
                    f"{key} does not reach {', '.join(f'stage {name}' for name in hidden)}, where the recipe sets it "
                    f"anew. To change it there: stages.{hidden[0]}.{key}=..."
                )
    return tuple(told)


def require_known_stages(below: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if an override names a stage that is not in the recipe, which would add a stage."""
    stages, changed = below.get("stages") or {"main": {}}, given.get("stages")
    if isinstance(stages, Mapping) and isinstance(changed, Mapping):
        names = [str(name) for name in stages]
        for name in changed:
            if name not in names:
                hint = did_you_mean(name, names)
                raise ConfigError(f"stages.{name}: the recipe has no such stage.{hint} Stages: {', '.join(names)}.")
