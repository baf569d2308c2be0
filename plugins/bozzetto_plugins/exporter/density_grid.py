"""A geometry's density on a regular grid, and the threshold at which it becomes a surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.errors import ExportError
from bozzetto.kinds.geometry import Geometry

VISIBLE_OPACITY = 0.5
"""A ray shows the object when it absorbs this share of what the most opaque ray absorbs."""
LEAST_OPACITY = 0.05
"""A scene whose most opaque ray absorbs less than this is empty."""
FULL_SHARE = 0.5
"""A scene with more than this share of its border solid is filled to the border."""
CANDIDATES = 256
"""Thresholds tried, evenly spaced in log density."""
THIN = 0.01
"""Optical thickness of a cell below which it is never solid."""
AGREEMENT = 0.99
"""Thresholds within this factor of the best overlap are taken as equally good."""


@dataclass(frozen=True)
class DensityGrid:
    """Density at N^3 points that span the scene's cube, corners included; axes in the order x, y, z."""

    density: Float[np.ndarray, "N N N"]
    """Finite, at least 0, per world unit."""
    radius: float
    """Half side of the cube, world units."""

    @property
    def cell(self) -> float:
        """Distance between neighbouring points, world units."""
        return 2.0 * self.radius / (len(self.density) - 1)


def sample_density(geometry: Geometry, resolution: int, chunk_points: int, device: torch.device) -> DensityGrid:
    """Look the density up, `chunk_points` at a time.

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
    """Position in an N^3 grid, z fastest, of each running number."""
    plane = resolution * resolution
    x = torch.div(numbers, plane, rounding_mode="floor")
    y = torch.div(numbers % plane, resolution, rounding_mode="floor")
    return torch.stack([x, y, numbers % resolution], dim=-1)


def silhouette_threshold(grid: DensityGrid) -> float:
    """The density whose silhouette agrees best with what the volume shows.

    Along the three axes, a ray of parallel projection shows the object when its opacity 1 - exp(-sum of density * cell)
    reaches half of the largest one; a mesh at threshold t covers it when the largest density along it reaches t. The
    overlap (intersection over union) of the two pictures is largest at one t, or over a range when the surface is
    sharp: then its geometric mean. Unlike a mean of densities it does not depend on how large or how dense the object
    is, and it works for exponential and softplus densities alike.

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
    """Number of values that are at least so large, for each of `least`."""
    return len(values) - np.searchsorted(np.sort(values), least, side="left")


def check_surface(grid: DensityGrid, threshold: float) -> None:
    """Make sure that the density crosses the threshold, and not only at the border of the cube.

    Raises:
        ExportError: the density is below the threshold everywhere, or above it nearly everywhere.
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
