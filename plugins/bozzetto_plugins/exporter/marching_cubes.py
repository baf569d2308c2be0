"""Marching cubes: from a density grid to a closed triangle mesh in world coordinates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from skimage.measure import marching_cubes
from torch import Tensor

from bozzetto.errors import ExportError
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.density_grid import DensityGrid

BISECTIONS = 6
"""Bisections of a grid edge; locates the surface to 1/64 of a cell."""

SLAB_POINTS = 1 << 24
"""Grid points processed at a time."""

DensityAt = Callable[[Float[Tensor, "S 3"]], Float[Tensor, "S"]]


def extract_surface(grid: DensityGrid, threshold: float, density_at: DensityAt) -> TriangleMesh:
    """Extract the surface at `threshold` by marching cubes (Lewiner et al. 2003), faces counter-clockwise from outside.

    The cube is padded with empty points, so that the mesh is closed where the object touches the border. Densities
    change by orders of magnitude within a cell, so linear interpolation would misplace the surface; each vertex is
    therefore moved along its grid edge to where `density_at`, the field itself, crosses the threshold. Slabs of
    `SLAB_POINTS` are processed one after the other and joined at their common planes, which bounds the memory.

    Raises:
        ExportError: the density crosses the threshold nowhere.
    """
    side = len(grid.density) + 2
    planes = max(2, SLAB_POINTS // side**2)
    vertices, faces, count = [], [], 0
    for first in range(0, side - 1, planes - 1):
        slab = _padded(grid.density, first, min(first + planes, side))
        # density / (density + threshold) is 1/2 at the surface and in [0, 1] for any density.
        level = slab / (slab + np.float32(threshold))
        if not level.min() < 0.5 < level.max():
            continue
        points, corners, _, _ = marching_cubes(level, 0.5, gradient_direction="ascent")
        moved = _bisect(points.astype(np.float64), slab, first, grid, threshold, density_at)
        moved[:, 0] += first
        vertices.append(moved)
        faces.append(corners.astype(np.int64) + count)
        count += len(moved)
    if not vertices:
        raise ExportError("There is no surface: the density only touches the threshold. Lower export.mesh.threshold.")
    index, corners = _joined(np.concatenate(vertices), np.concatenate(faces), planes - 1)
    points = _to_world(index, grid)
    return TriangleMesh(torch.from_numpy(points.astype(np.float32)), torch.from_numpy(corners))


def _padded(density: Float[np.ndarray, "N N N"], first: int, last: int) -> Float[np.ndarray, "S P P"]:
    """Return planes [first, last) of the grid padded with empty points."""
    low, high = max(first - 1, 0), min(last - 1, len(density))
    before, after = int(first == 0), int(last == len(density) + 2)
    return np.pad(density[low:high], ((before, after), (1, 1), (1, 1)))


def _joined(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "T 3"], step: int
) -> tuple[Float[np.ndarray, "W 3"], Int[np.ndarray, "T 3"]]:
    """Merge the duplicate vertices of two slabs in their common planes, one every `step` planes.

    Both slabs moved them along the same grid edge to the same position.
    """
    shared = np.flatnonzero(vertices[:, 0] % step == 0.0)
    if not len(shared):
        return vertices, faces
    _, first, number = np.unique(vertices[shared], axis=0, return_index=True, return_inverse=True)
    representative = np.arange(len(vertices))
    representative[shared] = shared[first][number.reshape(-1)]
    kept, compact = np.unique(representative, return_inverse=True)
    return vertices[kept], compact[faces]


def _to_world(index: Float[np.ndarray, "*any 3"], grid: DensityGrid) -> Float[np.ndarray, "*any 3"]:
    """Convert indices in the padded grid to world positions."""
    return (index - 1.0) * grid.cell - grid.radius


def _bisect(
    vertices: Float[np.ndarray, "V 3"],
    slab: Float[np.ndarray, "S P P"],
    first: int,
    grid: DensityGrid,
    threshold: float,
    density_at: DensityAt,
) -> Float[np.ndarray, "V 3"]:
    """Bisect the grid edge of each vertex towards the crossing. The few vertices inside a cell are not moved.

    Args:
        vertices: positions in the slab, whose plane 0 is plane `first` of the padded grid.
    """
    low, high = np.floor(vertices), np.ceil(vertices)
    on_edge = np.flatnonzero((high > low).sum(1) == 1)
    low, high = low[on_edge], high[on_edge]
    low_is_solid = (slab[_corner(low)] >= threshold)[:, None]
    solid, empty = np.where(low_is_solid, low, high), np.where(low_is_solid, high, low)
    start = np.array([first, 0.0, 0.0])
    for _ in range(BISECTIONS):
        middle = 0.5 * (solid + empty)
        places = torch.from_numpy(_to_world(middle + start, grid).astype(np.float32))
        inside = (density_at(places) >= threshold).numpy()[:, None]
        solid, empty = np.where(inside, middle, solid), np.where(inside, empty, middle)
    moved = vertices.copy()
    moved[on_edge] = 0.5 * (solid + empty)
    return moved


def _corner(index: Float[np.ndarray, "V 3"]) -> tuple[Int[np.ndarray, "V"], ...]:
    """Convert whole grid positions to a numpy index."""
    return tuple(index.astype(np.int64).T)
