"""Filling of pits and cracks in a density grid before surface extraction."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from bozzetto_plugins.exporter.density_grid import DensityGrid

FILLING = 2.0
"""Density of filled points, in thresholds; the field itself is empty there, so the surface ends at filled points."""


def fill_pits(grid: DensityGrid, threshold: float, reach: int) -> None:
    """Fill, in place, gaps of at most `2 * reach` grid points between solid points; a grid may take 4 GB.

    A morphological closing of the solid points by cubes of `2 * reach + 1` points, separated into passes along the axes
    (Serra 1982, "Image Analysis and Mathematical Morphology"). No image shows the inside of an object, so training
    leaves bubbles there; those that touch the surface are pits.
    """
    if reach == 0:
        return
    closed = np.pad(grid.density >= threshold, reach).view(np.uint8)
    for widen_or_narrow in (ndimage.maximum_filter1d, ndimage.minimum_filter1d):
        for axis in range(3):
            widen_or_narrow(closed, 2 * reach + 1, axis, output=closed, mode="constant")
    inner = slice(reach, -reach)
    for plane, solid in zip(grid.density, closed[inner, inner, inner], strict=True):
        plane[(solid == 1) & (plane < threshold)] = FILLING * threshold
