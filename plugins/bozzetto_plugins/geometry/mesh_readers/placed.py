"""Triangles of a mesh file, validated and placed in the world: z up, front toward +x. Does not import torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from bozzetto.errors import ConfigError
from bozzetto_plugins.geometry.example_mesh import example_chair
from bozzetto_plugins.geometry.mesh_readers.file import read_triangles
from bozzetto_plugins.geometry.mesh_readers.triangles import Triangles
from bozzetto_plugins.geometry.surface_config import AssetConfig, Axis

EXAMPLE = "the example chair"


def placed_triangles(config: AssetConfig, radius: float) -> Triangles:
    """Read all triangles of a file, in world units.

    Args:
        radius: half side of the scene's cube.

    Raises:
        ConfigError: the file does not exist, cannot be read, has no triangles or no extent, or does not fit the scene's
            cube; says why and what to do.
    """
    name = config.path or EXAMPLE
    found = _checked(read_triangles(Path(config.path)) if config.path else _example(), name)
    rotation, centre, factor = placement(config, radius, found.vertices)
    vertices = found.vertices @ rotation.T
    if config.extent > 0.0:
        vertices = (vertices - centre) * factor
    reach = float(np.abs(vertices).max())
    if reach > radius:
        raise ConfigError(
            f"{name} reaches {reach:.3g} from the origin, out of the scene's cube of radius {radius:g}. "
            "Raise system.geometry.radius, or let it be scaled with extent=0.7."
        )
    return Triangles(vertices, found.faces)


def placement(
    config: AssetConfig, radius: float, vertices: Float[np.ndarray, "V 3"]
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"], float]:
    """Return rotation, centre and factor that place points of a file: `(points @ rotation.T - centre) * factor`.

    Args:
        vertices: all that its triangles use, in the file's axes.
    """
    rotation = to_world(config.up, config.front)
    if config.extent == 0.0:
        return rotation, np.zeros(3), 1.0
    turned = vertices @ rotation.T
    low, high = turned.min(0), turned.max(0)
    return rotation, 0.5 * (low + high), 2.0 * config.extent * radius / (high - low).max()


def _example() -> Triangles:
    chair = example_chair()
    return Triangles(np.asarray(chair.vertices), np.asarray(chair.faces, dtype=np.int64))


def _checked(found: Triangles, name: str) -> Triangles:
    """Return the triangles and the vertices they use. Raises `ConfigError` if they are invalid."""
    faces = found.faces
    problem = ""
    if len(faces) == 0:
        problem = "it has no triangles. Export it as a triangle mesh"
    elif faces.min() < 0 or faces.max() >= len(found.vertices):
        problem = (
            f"its faces name vertices from {faces.min()} to {faces.max()}, and there are {len(found.vertices)}: it is "
            "damaged. Export it again"
        )
    if problem:
        raise ConfigError(f"{name} cannot be read as a mesh: {problem}.")
    used, compact = np.unique(faces, return_inverse=True)
    vertices = found.vertices[used]
    broken = int((~np.isfinite(vertices)).any(1).sum())
    with np.errstate(over="ignore"):
        size = 0.0 if broken else float((vertices.max(0) - vertices.min(0)).max())
    if broken:
        problem = f"{broken} of its {len(used)} vertices are not finite numbers. Repair it, or export it again"
    elif not np.isfinite(size):
        problem = "its coordinates are too large for numbers of 64 bits. Scale it down"
    elif not size > float(np.finfo(np.float32).tiny):
        problem = "it has no size: all its vertices coincide. Export it again"
    if problem:
        raise ConfigError(f"{name} cannot be read as a mesh: {problem}.")
    return Triangles(vertices, compact.reshape(-1, 3))


def to_world(up: Axis, front: Axis) -> np.ndarray:
    """Return the rotation "3 3" that maps `up` to +z and `front` to +x."""
    axes = {f"{sign}{letter}": int(f"{sign}1") * np.eye(3)[i] for i, letter in enumerate("xyz") for sign in "+-"}
    return np.stack([axes[front], np.cross(axes[up], axes[front]), axes[up]])
