"""Reader of mesh files into world coordinates: z up, front toward +x."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from bozzetto.errors import ConfigError
from bozzetto.types import TriangleMesh
from bozzetto_plugins.geometry.facing import patches, turned_outward
from bozzetto_plugins.geometry.mesh_readers.placed import EXAMPLE, placed_triangles
from bozzetto_plugins.geometry.surface_config import AssetConfig


@dataclass(frozen=True)
class Asset:
    """User-provided mesh."""

    mesh: TriangleMesh
    """Mesh in world units with equal vertices merged and faces oriented outward."""
    closed: bool
    """True if the mesh encloses a solid."""
    notices: tuple[str, ...]
    """Changes made on reading, one sentence each."""


def read_asset(config: AssetConfig, radius: float) -> Asset:
    """Read all triangles of a file as one mesh.

    Raises:
        ConfigError: the file does not exist, cannot be read, has no triangles or no extent, or does not fit the scene's
            cube; says why and what to do.
    """
    found, name = placed_triangles(config, radius), config.path or EXAMPLE
    mesh, flat = _joined(found.vertices, found.faces)
    if len(mesh.faces) == 0:
        raise ConfigError(f"{name} cannot be read as a mesh: none of its triangles has an area. Export it again.")
    mesh, turned = turned_outward(mesh)
    _, closed = patches(mesh.faces.numpy(), len(mesh.vertices))
    notices = []
    if flat:
        notices.append(f"{name}: {flat} of its {len(found.faces)} triangles have no area and are left out")
    if turned:
        notices.append(f"{name}: {turned} of its {len(mesh.faces)} triangles looked inward and are turned")
    return Asset(mesh, bool(closed.all()), tuple(notices))


def _joined(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "T 3"]) -> tuple[TriangleMesh, int]:
    """Merge equal vertices and drop degenerate triangles; also returns the number dropped."""
    places = np.ascontiguousarray(vertices.astype(np.float32) + np.float32(0.0))  # -0 becomes 0
    rows = places.view(np.dtype((np.void, places.dtype.itemsize * 3)))[:, 0]
    _, first, number = np.unique(rows, return_index=True, return_inverse=True)
    corners = places.astype(np.float64)[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    used, compact = np.unique(number[faces[area > 0.0]], return_inverse=True)
    mesh = TriangleMesh(torch.from_numpy(places[first[used]]), torch.from_numpy(compact.reshape(-1, 3)))
    return mesh, int((area == 0.0).sum())
