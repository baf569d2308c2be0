"""Reading a mesh file into the world: z up, front toward +x."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import trimesh

from bozzetto.errors import ConfigError
from bozzetto.types import Mesh
from bozzetto_plugins.geometry.example_mesh import example_chair
from bozzetto_plugins.geometry.surface_config import AssetConfig, Axis


def read_mesh(config: AssetConfig, radius: float) -> Mesh:
    """All triangles of a file as one mesh in world units, equal vertices joined.

    Raises:
        ConfigError: the file is not there, cannot be read, has no triangles, or does not fit the scene's cube.
    """
    path = config.path or "the example chair"
    loaded = _load(Path(config.path)) if config.path else example_chair()
    loaded.merge_vertices(merge_tex=True, merge_norm=True)
    vertices = np.asarray(loaded.vertices) @ to_world(config.up, config.front).T
    if config.extent > 0.0:
        low, high = vertices.min(0), vertices.max(0)
        vertices = (vertices - 0.5 * (low + high)) * (2.0 * config.extent * radius / (high - low).max())
    reach = float(np.abs(vertices).max())
    if reach > radius:
        raise ConfigError(
            f"{path} reaches {reach:.3g} from the origin, out of the scene's cube of radius {radius:g}. "
            "Raise system.geometry.radius, or let it be scaled with extent=0.7."
        )
    return Mesh(torch.from_numpy(vertices.astype(np.float32)), torch.from_numpy(np.array(loaded.faces, dtype=np.int64)))


def _load(path: Path) -> trimesh.Trimesh:
    if not path.is_file():
        raise ConfigError(f"There is no mesh file {path}. Give the path of a .glb, .obj or .ply file.")
    try:
        loaded = trimesh.load(path, force="mesh", process=False)
    except Exception as error:  # each of trimesh's readers raises errors of its own
        raise ConfigError(f"{path} cannot be read as a mesh: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, trimesh.Trimesh) or len(loaded.faces) == 0:
        raise ConfigError(f"{path} has no triangles. Export it as a triangle mesh.")
    return loaded


def to_world(up: Axis, front: Axis) -> np.ndarray:
    """The rotation "3 3" that turns `up` to +z and `front` to +x."""
    axes = {f"{sign}{letter}": int(f"{sign}1") * np.eye(3)[i] for i, letter in enumerate("xyz") for sign in "+-"}
    return np.stack([axes[front], np.cross(axes[up], axes[front]), axes[up]])
