"""Checks that a recipe uses the given photo. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from bozzetto.errors import ConfigError
from bozzetto.recipe import Recipe

READS = "reference"
"""Capability in a view source's `provides` that marks a photo."""


def require_reader(recipe: Recipe) -> None:
    """Check that the recipe's photo, if any, is read by a component.

    Raises:
        ConfigError: no component reads it.
    """
    if not recipe.image:
        return
    components = [component for stage in recipe.stages for component in stage.components]
    components += [component for _, component in recipe.exports]
    if any(READS in component.entry.spec.provides for component in components):
        return
    if any(recipe.image in _texts(component.config) for component in components):
        return
    raise ConfigError(
        f"image: no component of recipe {recipe.name!r} reads a photo, but {recipe.image} was given. Use a recipe that "
        "starts from one, --config zero123 or --config magic123, or leave image= out."
    )


def _texts(config: Any) -> Iterator[str]:
    """Yield every string in a config."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, (tuple, list)):
        for item in config:
            yield from _texts(item)
    elif isinstance(config, dict):
        yield from _texts(tuple(config.values()))
    elif is_dataclass(config):
        for item in fields(config):
            yield from _texts(getattr(config, item.name))
