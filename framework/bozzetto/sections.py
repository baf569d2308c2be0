"""The mappings of a recipe, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bozzetto.errors import ConfigError, shown


def section(values: Mapping[str, Any], key: str, known: str | Iterable[str], where: str = "") -> Mapping[str, Any]:
    """The mapping at `key`, empty if there is none or null.

    Args:
        known: what belongs there, for the error: words, or the keys.
        where: the path of `values` with a dot behind it.

    Raises:
        ConfigError: something else stands there.
    """
    found = values.get(key)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        expected = known if isinstance(known, str) else ", ".join(known)
        raise ConfigError(f"{where}{key}: expected {expected}; got {shown(found)}.")
    return found
