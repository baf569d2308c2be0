"""Reach of the overrides on the command line: the stages they act on, and those they do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bozzetto import layers
from bozzetto.errors import ConfigError, did_you_mean

LAYERED = ("system", "trainer")
"""The keys of a recipe that a stage can lay its own values over."""


def effective(values: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """`system` and `trainer` as a stage sees them; of the recipe itself if it has no stage of that name."""
    own = (values.get("stages") or {}).get(stage) or {}
    return {key: layers.overlay(values.get(key) or {}, own.get(key) or {}) for key in LAYERED}


def shadowed(overrides: Iterable[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    """A notice for each override of `system` or `trainer` that a stage's own value hides.

    Args:
        values: the recipe's, with the overrides applied.
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
    """Raises `ConfigError` if an override names a stage that the recipe has not: it would train one more."""
    stages, changed = below.get("stages") or {"main": {}}, given.get("stages")
    if isinstance(stages, Mapping) and isinstance(changed, Mapping):
        names = [str(name) for name in stages]
        for name in changed:
            if name not in names:
                hint = did_you_mean(name, names)
                raise ConfigError(f"stages.{name}: the recipe has no such stage.{hint} Stages: {', '.join(names)}.")
