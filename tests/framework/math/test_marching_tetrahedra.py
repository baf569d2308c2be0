from itertools import combinations

import pytest
import torch

from bozzetto.math.marching_tetrahedra import EDGES, cut_triangles, marching_tetrahedra
from bozzetto.math.meshes import adjacent_faces, scaled_face_normals
from bozzetto.math.tetrahedral_grid import TetrahedralGrid
from bozzetto.types import TriangleMesh

CPU = torch.device("cpu")
UNIT = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.double)
ONE = torch.arange(4)[None]


@pytest.mark.parametrize("bits", range(16))
def test_each_case_cuts_the_right_edges_and_looks_outward(bits):
    inside = [vertex for vertex in range(4) if bits >> vertex & 1]
    outside = [vertex for vertex in range(4) if vertex not in inside]
    crossed = {edge for edge in combinations(range(4), 2) if (edge[0] in inside) != (edge[1] in inside)}
    used = {EDGES[number] for triangle in cut_triangles()[bits] for number in triangle}
    assert used == crossed
    if not inside or not outside:
        return
    sdf = torch.tensor([-1.0 if vertex in inside else 1.0 for vertex in range(4)], dtype=torch.double)
    mesh = TriangleMesh(*marching_tetrahedra(UNIT, sdf, ONE))
    outward = UNIT[outside].mean(0) - UNIT[inside].mean(0)
    assert (scaled_face_normals(mesh.vertices, mesh.faces) @ outward > 0).all()


def test_a_plane_is_cut_where_it_is():
    grid = TetrahedralGrid(4)
    points = grid.positions(CPU).double()
    normal = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, -0.5], dtype=torch.double), dim=0)
    sdf = points @ normal - 0.1
    mesh = TriangleMesh(*marching_tetrahedra(points, sdf, grid.crossed(sdf < 0)))
    torch.testing.assert_close(mesh.vertices @ normal, torch.full((len(mesh.vertices),), 0.1, dtype=torch.double))
    faces = torch.nn.functional.normalize(scaled_face_normals(mesh.vertices, mesh.faces), dim=1)
    torch.testing.assert_close(faces, normal.expand_as(faces))


@pytest.mark.parametrize("seed", range(3))
def test_any_signs_give_a_closed_mesh(seed):
    grid = TetrahedralGrid(5)
    sdf = torch.randn(grid.vertex_count, generator=torch.Generator().manual_seed(seed))
    sdf = torch.where(grid.outermost(CPU), sdf.abs() + 0.1, sdf)
    mesh = TriangleMesh(*marching_tetrahedra(grid.positions(CPU), sdf, grid.crossed(sdf < 0)))
    assert 2 * len(adjacent_faces(mesh.faces)) == 3 * len(mesh.faces)
    start, end = mesh.faces.reshape(-1), mesh.faces.roll(-1, dims=1).reshape(-1)
    forward, backward = start * len(mesh.vertices) + end, end * len(mesh.vertices) + start
    assert torch.equal(forward.sort().values, backward.sort().values)  # neighbours agree on the outside vertices


def test_a_ball_has_its_volume():
    grid = TetrahedralGrid(16)
    points = grid.positions(CPU).double()
    sdf = points.norm(dim=1) - 0.6
    mesh = TriangleMesh(*marching_tetrahedra(points, sdf, grid.crossed(sdf < 0)))
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    volume = float((a * torch.linalg.cross(b, c)).sum() / 6.0)
    assert volume == pytest.approx(4.0 / 3.0 * torch.pi * 0.6**3, rel=0.02)


def test_vertices_are_differentiable_in_distances_and_positions():
    generator = torch.Generator().manual_seed(3)
    positions = (UNIT + 0.1 * torch.randn(4, 3, generator=generator, dtype=torch.double)).requires_grad_()
    sdf = torch.tensor([-0.4, 0.7, -0.2, 0.5], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, s: marching_tetrahedra(p, s, ONE)[0], (positions, sdf))


def test_nothing_inside_is_no_mesh():
    mesh = TriangleMesh(*marching_tetrahedra(UNIT, torch.ones(4, dtype=torch.double), ONE[:0]))
    assert mesh.vertices.shape == (0, 3) and mesh.faces.shape == (0, 3)
