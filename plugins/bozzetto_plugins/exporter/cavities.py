"""What nobody sees of a density field: cavities, and pits too narrow to look into."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from bozzetto_plugins.exporter.density_grid import DensityGrid

FILLING = 2.0
"""Density of what is filled, in thresholds. The field itself is empty there, so the surface ends at filled points."""

CUBE = np.ones((3, 3, 3), dtype=bool)


def fill_cavities(grid: DensityGrid, threshold: float, reach: int) -> DensityGrid:
    """The field without cavities, and without pits and cracks that are at most `2 * reach` cells wide.

    A morphological closing of what is solid, by cubes of `2 * reach + 1` points (Serra 1982, "Image Analysis and
    Mathematical Morphology"), and then all that cannot be reached from the border. An image says nothing about the
    inside of an object, so training leaves bubbles there, and those that touch the surface are pits.
    """
    if reach == 0:
        return grid
    solid = grid.density >= threshold
    filled = _closed(solid, reach) & ~solid
    return replace(grid, density=np.where(filled, np.float32(FILLING * threshold), grid.density))


def _closed(solid: Bool[np.ndarray, "N N N"], reach: int) -> Bool[np.ndarray, "N N N"]:
    """What is solid after closing and filling; the cube is surrounded by nothing."""
    padded = np.pad(solid, reach + 1)
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(padded, CUBE, reach))
    inner = slice(reach + 1, -reach - 1)
    return np.asarray(closed, dtype=bool)[inner, inner, inner]
