"""Bubbles and pits are filled; what can be looked into stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bozzetto_plugins.exporter.cavities import fill_cavities
from bozzetto_plugins.exporter.density_grid import DensityGrid
from bozzetto_plugins.exporter.marching_cubes import extract_surface
from bozzetto_plugins.exporter.surface import is_watertight


def block(*holes: tuple[slice, slice, slice]) -> DensityGrid:
    """A solid block of 12^3 points in a cube of 16^3, without the holes."""
    density = np.zeros((16, 16, 16), dtype=np.float32)
    density[2:14, 2:14, 2:14] = 8.0
    for hole in holes:
        density[hole] = 0.0
    return DensityGrid(density, radius=1.0)


BUBBLE = (slice(5, 10), slice(5, 10), slice(5, 10))
PIT = (slice(7, 9), slice(7, 9), slice(2, 6))
ARCH = (slice(6, 10), slice(0, 16), slice(2, 8))


@pytest.mark.parametrize("hole", [BUBBLE, PIT])
def test_what_nobody_sees_is_filled(hole: tuple[slice, slice, slice]) -> None:
    filled = fill_cavities(block(hole), threshold=1.0, reach=1)
    np.testing.assert_array_equal(filled.density >= 1.0, block().density >= 1.0)
    assert filled.radius == 1.0


def test_what_can_be_looked_into_stays() -> None:
    np.testing.assert_array_equal(fill_cavities(block(ARCH), threshold=1.0, reach=1).density, block(ARCH).density)


def test_a_larger_reach_fills_a_wider_pit_and_none_fills_nothing() -> None:
    wide = (slice(6, 10), slice(6, 10), slice(2, 6))
    assert fill_cavities(block(wide), 1.0, reach=1).density[7, 7, 4] < 1.0
    assert (fill_cavities(block(wide), 1.0, reach=2).density[wide] >= 1.0).all()
    np.testing.assert_array_equal(fill_cavities(block(BUBBLE), 1.0, reach=0).density, block(BUBBLE).density)


def test_an_object_at_the_border_stays_as_it_is() -> None:
    full = DensityGrid(np.full((6, 6, 6), 3.0, dtype=np.float32), radius=1.0)
    np.testing.assert_array_equal(fill_cavities(full, 1.0, reach=2).density, full.density)


def test_a_filled_pit_is_a_closed_surface() -> None:
    """The field says that there is nothing: vertices do not run away from the filled points."""
    grid = block(PIT)

    def density_at(points: torch.Tensor) -> torch.Tensor:
        index = ((points + grid.radius) / grid.cell).round().long().clamp(0, 15)
        return torch.from_numpy(grid.density)[tuple(index.T)]

    mesh = extract_surface(fill_cavities(grid, 1.0, reach=1), 1.0, density_at)
    assert is_watertight(mesh)
    inner = ((mesh.vertices[:, :2].abs() < 0.2).all(-1)) & (mesh.vertices[:, 2] < 0.5)
    assert mesh.vertices[inner, 2].max() < -1.0 + 2.5 * grid.cell
