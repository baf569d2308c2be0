import math

import pytest
import torch
import trimesh

from bozzetto.math import meshes
from bozzetto.math.marching_tetrahedra import cut_of
from bozzetto.math.tetrahedral_grid import TetrahedralGrid

TENT = (
    torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.5, 0.0], [-1.0, 0.5, 0.0]]),
    torch.tensor([[0, 2, 1], [0, 1, 3]]),
)
"""Two triangles in a plane with the edge 0-1 in common."""


def bent(angle):
    """Return the tent with its second half rotated by an angle around the shared edge."""
    vertices = TENT[0].clone()
    vertices[3] = torch.tensor([-math.cos(angle), 0.5, math.sin(angle)])
    return vertices, TENT[1]


def box():
    shape = trimesh.creation.box()
    return torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces)


def test_normals_of_a_ball_point_outward():
    ball = trimesh.creation.icosphere(subdivisions=3)
    vertices, faces = torch.tensor(ball.vertices, dtype=torch.float32), torch.tensor(ball.faces)
    torch.testing.assert_close(meshes.vertex_normals(vertices, faces), vertices, atol=0.02, rtol=0)


def test_areas_weigh():
    vertices, faces = box()
    area = 0.5 * meshes.scaled_face_normals(vertices, faces).norm(dim=1).sum()
    assert float(area) == pytest.approx(6.0)


def test_edges_and_neighbours_of_a_box():
    _, faces = box()
    edges = meshes.unique_edges(faces)
    assert len(edges) == 18 and (edges[:, 0] < edges[:, 1]).all()  # 12 and a diagonal on each of 6 sides
    pairs = meshes.adjacent_faces(faces)
    assert pairs.shape == (18, 2)
    for one, other in pairs.tolist():
        assert len(set(faces[one].tolist()) & set(faces[other].tolist())) == 2


def test_what_is_known_to_be_closed_gives_the_same_rows():
    grid = TetrahedralGrid(6)
    positions = grid.positions(torch.device("cpu"))
    inside = (torch.rand(len(positions)) < 0.4) & ~grid.outermost(torch.device("cpu"))
    faces = cut_of(inside, grid.crossed(inside)).faces
    assert len(faces) > 100
    assert torch.equal(meshes.unique_edges(faces, closed=True), meshes.unique_edges(faces))
    assert torch.equal(meshes.adjacent_faces(faces, closed=True), meshes.adjacent_faces(faces))
    assert len(meshes.adjacent_faces(faces[:0], closed=True)) == 0


def test_open_edges_have_no_neighbour():
    assert meshes.adjacent_faces(TENT[1]).sort(dim=1).values.tolist() == [[0, 1]]
    assert len(meshes.unique_edges(TENT[1])) == 5


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.2])
def test_consistency_is_one_minus_the_cosine(angle):
    assert float(meshes.normal_consistency(*bent(angle))) == pytest.approx(1.0 - math.cos(angle), abs=1e-6)


def test_laplacian_in_closed_form():
    found = meshes.laplacian(*TENT)
    # Vertex 0 has neighbours 1, 2, 3 with mean (0, 2/3, 0); vertex 2 has 0 and 1.
    torch.testing.assert_close(found[0], torch.tensor([0.0, 2.0 / 3.0, 0.0]))
    torch.testing.assert_close(found[2], torch.tensor([-1.0, 0.0, 0.0]))


def test_smoothness_has_no_units():
    vertices, faces = box()
    value = float(meshes.laplacian_smoothness(vertices, faces))
    assert value > 0.0
    assert float(meshes.laplacian_smoothness(10.0 * vertices, faces)) == pytest.approx(value, rel=1e-5)


def test_mean_squared_edge_of_a_box():
    assert float(meshes.mean_squared_edge(*box())) == pytest.approx((12 * 1.0 + 6 * 2.0) / 18)


def test_eikonal():
    gradient = torch.tensor([[1.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    value = meshes.eikonal(gradient)
    assert float(value.detach()) == pytest.approx((0.0 + 4.0 + 1.0) / 3.0)
    value.backward()
    torch.testing.assert_close(gradient.grad[1], torch.tensor([0.0, 4.0 / 3.0, 0.0]))
    assert gradient.grad.isfinite().all()


@pytest.mark.parametrize("loss", [meshes.normal_consistency, meshes.laplacian_smoothness, meshes.mean_squared_edge])
def test_nothing_and_degenerate_triangles_are_finite(loss):
    nothing = torch.zeros(0, 3, requires_grad=True)
    value = loss(nothing, torch.zeros(0, 3, dtype=torch.long))
    assert float(value.detach()) == 0.0
    point = torch.zeros(4, 3, requires_grad=True)
    loss(point, TENT[1]).backward()
    assert point.grad.isfinite().all()


@pytest.mark.parametrize("loss", [meshes.normal_consistency, meshes.laplacian_smoothness, meshes.mean_squared_edge])
def test_descent_lowers(loss):
    ball = trimesh.creation.icosphere(subdivisions=1)
    rough = torch.tensor(ball.vertices, dtype=torch.float32)
    rough = rough + 0.05 * torch.randn(rough.shape, generator=torch.Generator().manual_seed(0))
    rough.requires_grad_()
    before = loss(rough, torch.tensor(ball.faces))
    before.backward()
    with torch.no_grad():
        assert loss(rough - 0.01 * rough.grad / rough.grad.norm(), torch.tensor(ball.faces)) < before
