"""Tests of the padded cut against the one that waits."""

import pytest
import torch

from bozzetto.math.marching_tetrahedra import cut_of
from bozzetto.math.padded_cut import compacted, padded_cut
from bozzetto.math.tetrahedral_grid import TetrahedralGrid


def shapes(grid: TetrahedralGrid) -> list[torch.Tensor]:
    """Return insides of a ball, of two boxes with sharp corners, of noise, and of nothing."""
    positions = grid.positions(torch.device("cpu"))
    generator = torch.Generator().manual_seed(grid.cells)
    ball = positions.norm(dim=1) < 0.6
    boxes = ((positions - 0.3).abs().amax(dim=1) < 0.31) | ((positions + 0.4).abs().amax(dim=1) < 0.21)
    noise = torch.rand(len(positions), generator=generator) < 0.4
    return [inside & ~grid.outermost(torch.device("cpu")) for inside in (ball, boxes, noise, noise & False)]


@pytest.mark.parametrize("cells", [2, 5, 12])
@pytest.mark.parametrize("bound", [1, 700, 100_000])
def test_it_is_the_cut_to_the_order_of_its_rows(cells: int, bound: int) -> None:
    grid = TetrahedralGrid(cells)
    for inside in shapes(grid):
        expected, found = cut_of(inside, grid.crossed(inside)), padded_cut(inside, grid, bound)
        for name in ("start", "end", "faces"):
            assert torch.equal(getattr(found.cut, name), getattr(expected, name)), name
        assert (found.crossed > 0) == (len(expected.faces) > 0)


def test_squares_beyond_the_bound_are_counted() -> None:
    grid = TetrahedralGrid(6)
    inside = shapes(grid)[0]
    _, _, valid, total = grid.crossed_within(inside, 3)
    assert valid.all() and len(valid) == 3 < int(total)
    assert padded_cut(inside, grid, 3).crossed == int(total)


def test_indices_of_true_values_are_in_order() -> None:
    mask = torch.rand(100, generator=torch.Generator().manual_seed(0)) < 0.3
    assert torch.equal(compacted(mask, int(mask.sum())), mask.nonzero()[:, 0])
    assert len(compacted(mask & False, 0)) == 0
