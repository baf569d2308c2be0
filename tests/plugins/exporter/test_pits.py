"""Tests that pits and cracks are filled and larger openings are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bozzetto_plugins.exporter.density_grid import DensityGrid
from bozzetto_plugins.exporter.marching_cubes import extract_surface
from bozzetto_plugins.exporter.pits import fill_pits
from bozzetto_plugins.exporter.surface import is_watertight

Hole = tuple[slice, slice, slice]
PIT = (slice(7, 9), slice(7, 9), slice(2, 6))
CRACK = (slice(2, 14), slice(7, 9), slice(2, 8))
ARCH = (slice(6, 10), slice(0, 16), slice(2, 8))
WIDE = (slice(6, 10), slice(6, 10), slice(2, 6))


def block(*holes: Hole) -> DensityGrid:
    """Return a solid block of 12^3 points in a cube of 16^3, without the holes."""
    density = np.zeros((16, 16, 16), dtype=np.float32)
    density[2:14, 2:14, 2:14] = 8.0
    for hole in holes:
        density[hole] = 0.0
    return DensityGrid(density, radius=1.0)


@pytest.mark.parametrize(
    ("hole", "reach", "filled"),
    [(PIT, 1, True), (CRACK, 1, True), (ARCH, 1, False), (WIDE, 1, False), (WIDE, 2, True), (PIT, 0, False)],
)
def test_what_is_narrow_is_filled(hole: Hole, reach: int, filled: bool) -> None:
    grid, whole, holed = block(hole), block(), block(hole)
    fill_pits(grid, threshold=1.0, reach=reach)
    np.testing.assert_array_equal(grid.density >= 1.0, (whole if filled else holed).density >= 1.0)
    np.testing.assert_array_equal(grid.density[holed.density > 0], 8.0)


def test_an_object_at_the_border_stays_as_it_is() -> None:
    density = np.zeros((6, 6, 6), dtype=np.float32)
    density[3:] = 3.0
    grid = DensityGrid(density.copy(), radius=1.0)
    fill_pits(grid, 1.0, reach=2)
    np.testing.assert_array_equal(grid.density, density)


def test_a_filled_pit_is_a_closed_surface_at_the_filled_points() -> None:
    grid = block(PIT)
    field = torch.from_numpy(grid.density.copy())

    def density_at(points: torch.Tensor) -> torch.Tensor:
        index = ((points + grid.radius) / grid.cell).round().long().clamp(0, 15)
        return field[tuple(index.T)]

    fill_pits(grid, 1.0, reach=1)
    mesh = extract_surface(grid, 1.0, density_at)
    assert is_watertight(mesh)
    above_pit = (mesh.vertices[:, :2].abs() < 0.2).all(-1) & (mesh.vertices[:, 2] < 0.5)
    assert mesh.vertices[above_pit, 2].max() < -1.0 + 2.5 * grid.cell
