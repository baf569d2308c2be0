"""Manifest of the built-in recipes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from bozzetto import hookimpl


@hookimpl
def bozzetto_recipes() -> list[Path]:
    """Return the folder of built-in YAML recipes, or an empty list if it is not installed."""
    spec = find_spec("bozzetto_recipes")
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
