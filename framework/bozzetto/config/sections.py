"""Access to the mappings of a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bozzetto.errors import ConfigError, shown


def section(values: Mapping[str, Any], key: str, known: str | Iterable[str], where: str = "") -> Mapping[str, Any]:
    """Return the mapping at `key`, empty if it is missing or null.

    Args:
        known: expected content for the error: a description, or the keys.
        where: path of `values` with a trailing dot.

    Raises:
        ConfigError: the value is not a mapping.
    """
    found = values.get(key)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        expected = known if isinstance(known, str) else ", ".join(known)
        raise ConfigError(f"{where}{key}: expected {expected}; got {shown(found)}.")
    return found
