import pytest
import torch

from bozzetto.math.tetrahedral_grid import TetrahedralGrid

CPU = torch.device("cpu")


def every_tetrahedron(grid):
    """Return all tetrahedra: each is crossed when one class of vertices is inside and the rest is not."""
    inside = torch.zeros(grid.vertex_count, dtype=torch.bool)
    inside[grid.corner_count :] = True  # centres inside, corners outside: every tetrahedron has two of each
    return grid.crossed(inside)


@pytest.mark.parametrize("cells", [2, 3, 5])
def test_all_tetrahedra_have_one_positive_volume_and_fill_the_inner_cube_and_its_pyramids(cells):
    grid = TetrahedralGrid(cells)
    points = grid.positions(CPU).double()
    assert points.shape == (grid.vertex_count, 3) and float(points.abs().max()) == 1.0
    tetrahedra = every_tetrahedron(grid)
    assert tetrahedra.shape == (4 * 3 * (cells - 1) * cells**2, 4)  # four around each square between two cells
    assert len(torch.unique(tetrahedra.sort(dim=1).values, dim=0)) == len(tetrahedra)
    corners = points[tetrahedra]
    volume = torch.linalg.det(corners[:, 1:] - corners[:, :1]) / 6.0
    torch.testing.assert_close(volume, torch.full_like(volume, grid.cell_size**3 / 12.0))
    # The missing volume of the cube of 8 consists of half-cell pyramids on the 6 n^2 outer squares.
    assert float(volume.sum()) == pytest.approx(8.0 - 6 * cells**2 * grid.cell_size**3 / 6.0)


def test_faces_are_shared_by_two_or_outside():
    grid = TetrahedralGrid(3)
    faces = torch.cat(
        [every_tetrahedron(grid)[:, list(three)] for three in ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))]
    )
    _, count = torch.unique(faces.sort(dim=1).values, dim=0, return_counts=True)
    assert set(count.tolist()) == {1, 2}
    # Each outer square leaves the four sides of a pyramid, except those shared by two pyramids at the cube's edges.
    assert int((count == 1).sum()) == 6 * 9 * 4 - 2 * 12 * 3


def test_only_crossed_ones_are_found():
    grid = TetrahedralGrid(4)
    generator = torch.Generator().manual_seed(0)
    inside = torch.rand(grid.vertex_count, generator=generator) < 0.3
    everything = every_tetrahedron(grid)
    count = inside[everything].sum(dim=1)
    expected = everything[(count > 0) & (count < 4)]
    found = grid.crossed(inside)
    order = [rows[:, 0] * 1000003 + rows[:, 1] * 1009 + rows[:, 2] * 31 + rows[:, 3] for rows in (expected, found)]
    assert torch.equal(order[0].sort().values, order[1].sort().values)
    assert len(grid.crossed(torch.zeros_like(inside))) == len(grid.crossed(torch.ones_like(inside))) == 0


def test_points_are_located():
    grid = TetrahedralGrid(4)
    rest = grid.positions(CPU).double()
    generator = torch.Generator().manual_seed(1)
    points = (2.0 * torch.rand(500, 3, generator=generator, dtype=torch.double) - 1.0) * (1.0 - 0.5 * grid.cell_size)
    vertex, weight = grid.locate(points)
    assert float(weight.min()) >= -1e-12
    torch.testing.assert_close(weight.sum(dim=1), torch.ones(500, dtype=torch.double))
    torch.testing.assert_close((rest[vertex] * weight[..., None]).sum(dim=1), points)
    known = {tuple(row) for row in every_tetrahedron(grid).sort(dim=1).values.tolist()}
    assert all(tuple(row) in known for row in vertex.sort(dim=1).values.tolist())


def test_linear_functions_are_interpolated_exactly_with_their_gradient():
    grid = TetrahedralGrid(5)
    slope = torch.tensor([1.0, -2.0, 0.5])
    values = grid.positions(CPU) @ slope + 0.3
    points = ((torch.rand(64, 3, generator=torch.Generator().manual_seed(2)) * 2.0 - 1.0) * 0.7).requires_grad_()
    vertex, weight = grid.locate(points)
    found = (values[vertex] * weight).sum(dim=1)
    torch.testing.assert_close(found, points @ slope + 0.3, atol=1e-5, rtol=0)
    (gradient,) = torch.autograd.grad(found.sum(), points)
    torch.testing.assert_close(gradient, slope.expand(64, 3), atol=1e-4, rtol=0)


def test_points_at_and_beyond_the_border_have_weights():
    grid = TetrahedralGrid(3)
    vertex, weight = grid.locate(torch.tensor([[1.0, 1.0, 1.0], [-5.0, 0.1, 0.2], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    assert int(vertex.min()) >= 0 and int(vertex.max()) < grid.vertex_count
    torch.testing.assert_close(weight.sum(dim=1), torch.ones(4))
    assert float(weight.min()) >= 0.0


def test_the_outermost_are_the_border_and_the_centres_behind_it():
    grid = TetrahedralGrid(4)
    outermost, points = grid.outermost(CPU), grid.positions(CPU)
    reach = points.abs().amax(dim=1)
    assert torch.equal(outermost, reach > 1.0 - 0.75 * grid.cell_size)


def test_too_few_cells():
    with pytest.raises(ValueError, match="cells: must be at least 2"):
        TetrahedralGrid(1)
