"""Tests of distances to triangles, and of their sign."""

import numpy as np
import pytest
import torch
import trimesh

from bozzetto.types import TriangleMesh
from bozzetto_plugins.geometry import shapes
from bozzetto_plugins.geometry.signed_distance import distance_to_mesh, lattice_inside


def mesh_of(shape):
    return TriangleMesh(
        torch.tensor(np.array(shape.vertices), dtype=torch.float32), torch.tensor(np.array(shape.faces))
    )


def box_distance(points, half):
    away = points.abs() - half
    return away.clamp(min=0.0).norm(dim=1) + away.amax(dim=1).clamp(max=0.0)


def test_distances_to_a_box_are_exact_and_cut_off():
    box = mesh_of(trimesh.creation.box(extents=(1.0, 0.6, 0.4)))
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    expected = box_distance(points, torch.tensor([0.5, 0.3, 0.2])).abs()
    found = distance_to_mesh(points, box, limit=0.15)
    torch.testing.assert_close(found, expected.clamp(max=0.15), atol=1e-4, rtol=0)


def test_one_triangle_from_every_side():
    triangle = TriangleMesh(
        torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([[0, 1, 2]])
    )
    points = torch.tensor([[0.2, 0.2, 0.3], [0.5, -0.4, 0.0], [1.3, 0.0, 0.4], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    expected = torch.tensor([0.3, 0.4, 0.5, 0.0, 0.5**0.5])
    torch.testing.assert_close(distance_to_mesh(points, triangle, limit=1.0), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [9, 16])
def test_a_lattice_knows_what_is_inside(count):
    axis = torch.linspace(-1.0, 1.0, count)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.7)
    points = torch.cartesian_prod(axis, axis, axis)
    inside = lattice_inside(axis, mesh_of(ball))
    reach = points.norm(dim=1)
    assert inside[reach < 0.68].all() and not inside[reach > 0.71].any()


def test_parts_may_overlap_and_touch_the_lattice():
    axis = torch.linspace(-1.0, 1.0, 11)
    two = [trimesh.creation.box(extents=(1.2, 0.4, 0.4)), trimesh.creation.box(extents=(0.4, 1.2, 0.4))]
    inside = lattice_inside(axis, mesh_of(trimesh.util.concatenate(two)))
    points = torch.cartesian_prod(axis, axis, axis)
    halves = [torch.tensor([0.6, 0.2, 0.2]), torch.tensor([0.2, 0.6, 0.2])]
    distance = torch.minimum(*(box_distance(points, half) for half in halves))
    clear = distance.abs() > 1e-3
    assert torch.equal(inside[clear], (distance < 0)[clear])


def test_simple_shapes():
    points = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.9]])
    torch.testing.assert_close(shapes.sphere(points, 0.5), torch.tensor([-0.5, 0.0, -0.2, 0.4]))
    found = shapes.ellipsoid(points, (0.5, 0.3, 0.4))
    torch.testing.assert_close(found[:3], torch.tensor([-0.3, 0.0, 0.0]), atol=1e-6, rtol=0)
    assert found[3] > 0.0
    torch.testing.assert_close(shapes.ellipsoid(points, (0.5, 0.5, 0.5)), shapes.sphere(points, 0.5))
