"""Recipes that the studio offers, and what each can start from. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bozzetto.config.recipe_file import RecipeFile, read_recipe, shipped_recipes
from bozzetto.errors import UserError
from bozzetto.fields import FilePath, marked
from bozzetto.registry.discovery import Registry
from bozzetto_studio.uploads import Kind


@dataclass(frozen=True)
class Offer:
    """Installed recipe."""

    name: str
    """As `--config` takes it."""
    summary: str
    fits: Kind
    file_key: str
    """Key of the recipe that takes the photo or the mesh; empty: it reads neither."""
    profiles: tuple[str, ...]


def offers(registry: Registry) -> tuple[Offer, ...]:
    """Return all installed recipes that can be read, those of this distribution first."""
    shipped = sorted(shipped_recipes(registry).items(), key=lambda item: not item[0].startswith("bozzetto/"))
    bare = [key.partition("/")[2] for key, _ in shipped]
    found = []
    for key, path in shipped:
        name = key.partition("/")[2]
        try:
            found.append(_offer(key if bare.count(name) > 1 else name, path, registry))
        except UserError:  # `bozzetto check` says what is wrong with it
            continue
    return tuple(found)


def _offer(name: str, path: Path, registry: Registry) -> Offer:
    file = read_recipe(path, registry)
    values = file.layered("")
    mesh_key = _mesh_key(values, registry)
    fits: Kind = "photo" if values.get("image") else "mesh" if mesh_key else "words"
    summary = str(values.get("summary") or "") if "summary" in file.values else _first_comment(file)
    return Offer(name, summary, fits, "image" if fits == "photo" else mesh_key, tuple(file.profile_names))


def _first_comment(file: RecipeFile) -> str:
    """Return the first line of comment of a recipe; empty if it has none."""
    lines = file.path.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ").strip() for line in lines if line.startswith("#")), "")


def _mesh_key(values: Mapping[str, Any], registry: Registry) -> str:
    """Return the key of the mesh file that the geometry of a recipe reads, if the recipe mentions it; else empty."""
    system = values.get("system")
    geometry = system.get("geometry") if isinstance(system, Mapping) else None
    if not isinstance(geometry, Mapping) or not isinstance(geometry.get("type"), str):
        return ""
    schema = registry.config_type("geometry", geometry["type"])
    named = [name for name, _ in marked(schema, FilePath)]
    return next((f"system.geometry.{name}" for name in named if name.partition(".")[0] in geometry), "")
