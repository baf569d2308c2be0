"""Density of a geometry on a regular grid, and the choice of the surface threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.errors import ExportError
from bozzetto.kinds.geometry import Geometry

VISIBLE_OPACITY = 0.5
"""Foreground threshold of a ray's opacity, relative to the most opaque ray."""
LEAST_OPACITY = 0.05
"""Minimum opacity of the most opaque ray; a scene below it is empty."""
FULL_SHARE = 0.5
"""Share of solid border points above which the scene counts as filled to its border."""
CANDIDATES = 256
"""Number of thresholds tried, evenly spaced in log density."""
THIN = 0.01
"""Optical thickness of a grid cell at the lowest threshold that is tried."""
AGREEMENT = 0.99
"""Thresholds whose overlap is within this factor of the best are considered equally good."""


@dataclass(frozen=True)
class DensityGrid:
    """Density at N^3 points that span the scene's cube including its corners; axes in the order x, y, z."""

    density: Float[np.ndarray, "N N N"]
    """Density per world unit; finite, at least 0."""
    radius: float
    """Half side of the cube, world units."""

    @property
    def cell(self) -> float:
        """Distance between neighbouring points, world units."""
        return 2.0 * self.radius / (len(self.density) - 1)


def sample_density(geometry: Geometry, resolution: int, chunk_points: int, device: torch.device) -> DensityGrid:
    """Sample the density on the grid, `chunk_points` at a time.

    Raises:
        ExportError: the density is not finite somewhere.
    """
    axis = torch.linspace(-geometry.radius, geometry.radius, resolution, device=device)
    total, broken = resolution**3, 0
    density = np.empty(total, dtype=np.float32)
    for start in range(0, total, chunk_points):
        numbers = torch.arange(start, min(start + chunk_points, total), device=device)
        found = geometry.density(axis[grid_index(numbers, resolution)]).detach()
        broken += int((~torch.isfinite(found)).sum())
        density[start : start + len(numbers)] = found.float().cpu().numpy()
    if broken:
        raise ExportError(
            f"The density of {type(geometry).__name__} is not finite at {broken} of {total} points. "
            "The training diverged: export an earlier checkpoint, or train again with a lower learning rate."
        )
    return DensityGrid(density.reshape(resolution, resolution, resolution), float(geometry.radius))


def grid_index(numbers: Int[Tensor, "S"], resolution: int) -> Int[Tensor, "S 3"]:
    """Return the grid indices, z fastest, of flat indices into an N^3 grid."""
    plane = resolution * resolution
    x = torch.div(numbers, plane, rounding_mode="floor")
    y = torch.div(numbers % plane, resolution, rounding_mode="floor")
    return torch.stack([x, y, numbers % resolution], dim=-1)


def silhouette_threshold(grid: DensityGrid) -> float:
    """Return the density threshold whose silhouettes agree best with those of the volume.

    Along each of the three axes, a ray of a parallel projection is foreground if its opacity 1 - exp(-sum of density *
    cell) reaches half of the largest one; a mesh at threshold t covers it if the largest density along it reaches t.
    The IoU of the two masks is largest at one t, or over a range if the surface is sharp; then the geometric mean of
    the range is returned. Unlike a mean of densities, the result does not depend on how large or dense the object is,
    and it works for exponential and softplus densities alike.

    Raises:
        ExportError: nothing is visible.
    """
    opacity = np.concatenate(
        [1.0 - np.exp(-grid.density.sum(axis, dtype=np.float64).ravel() * grid.cell) for axis in range(3)]
    )
    peak = np.concatenate([grid.density.max(axis).ravel() for axis in range(3)])
    if opacity.max() < LEAST_OPACITY:
        raise ExportError(
            f"The scene is empty: its most opaque ray absorbs {opacity.max():.1%} of the light and its largest density "
            f"is {peak.max():.3g}. Train longer, or with a weaker sparsity loss or a stronger initial density."
        )
    visible = opacity >= VISIBLE_OPACITY * opacity.max()
    lowest = min(1e-4 * peak.max(), THIN / grid.cell)  # the peak of an exponential density may be anything
    candidates = np.geomspace(lowest, peak.max(), CANDIDATES, endpoint=False)
    covered = _count_from(peak, candidates)
    both = _count_from(peak[visible], candidates)
    overlap = both / (covered + visible.sum() - both)
    good = candidates[overlap >= AGREEMENT * overlap.max()]
    return float(np.sqrt(good[0] * good[-1]))


def _count_from(values: Float[np.ndarray, "P"], least: Float[np.ndarray, "C"]) -> Int[np.ndarray, "C"]:
    """Return how many values are at least as large as each of `least`."""
    return len(values) - np.searchsorted(np.sort(values), least, side="left")


def check_surface(grid: DensityGrid, threshold: float) -> None:
    """Check that the density crosses the threshold, and not only at the border of the cube.

    Raises:
        ExportError: the density is below the threshold everywhere, or above it on most of the border.
    """
    density = grid.density
    largest = float(density.max())
    if largest < threshold:
        raise ExportError(
            f"There is no surface: the largest density is {largest:.3g}, below the threshold {threshold:.3g}. "
            "Train longer, or lower export.mesh.threshold, or set it to 'auto'."
        )
    inner = density[1:-1]
    sides = [density[0], density[-1], inner[:, 0], inner[:, -1], inner[:, 1:-1, 0], inner[:, 1:-1, -1]]
    share = sum(int((side >= threshold).sum()) for side in sides) / sum(side.size for side in sides)
    if share > FULL_SHARE:
        raise ExportError(
            f"The scene is filled to its border: the density is above the threshold {threshold:.3g} over "
            f"{share:.0%} of the sides of its cube (largest density {largest:.3g}). Raise export.mesh.threshold, or "
            "train longer with a stronger sparsity loss."
        )
