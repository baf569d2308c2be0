"""Tests of UVs, texels and colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bozzetto.errors import ExportError
from bozzetto.testing.exporter import sphere_scene
from bozzetto.testing.scenes import SoftSphere
from bozzetto.types import FieldOutput, TriangleMesh
from bozzetto_plugins.exporter.ply import texture_at
from bozzetto_plugins.exporter.texture_baking import albedo_at, bake, barycentric, face_of_texel, unwrap


def slow_face_of_texel(uvs: np.ndarray, faces: np.ndarray, size: int) -> np.ndarray:
    """Reference: for each texel, a face whose triangle contains its centre."""
    covered = np.full((size, size), -1)
    for row in range(size):
        for column in range(size):
            u, v = (column + 0.5) / size, 1.0 - (row + 0.5) / size
            for number, corners in enumerate(uvs[faces]):
                edges = np.roll(corners, -1, axis=0) - corners
                side = edges[:, 0] * (v - corners[:, 1]) - edges[:, 1] * (u - corners[:, 0])
                if (side >= 0.0).all() or (side <= 0.0).all():
                    covered[row, column] = number
    return covered


def test_every_texel_finds_its_face() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 6)), -1).reshape(-1, 2)
    inner = ((grid > 0) & (grid < 1)).all(1)
    grid[inner] += rng.uniform(-0.06, 0.06, (int(inner.sum()), 2))
    first = np.array([6 * row + column for row in range(5) for column in range(5)])
    faces = np.concatenate([np.stack([first, first + 1, first + 7], 1), np.stack([first, first + 7, first + 6], 1)])
    faces = faces[rng.permutation(len(faces))][:40]
    found = face_of_texel(grid.astype(np.float32), faces, 16)
    assert np.array_equal(found, slow_face_of_texel(grid.astype(np.float32), faces, 16))


def test_the_top_of_the_texture_is_v_one() -> None:
    uvs = np.array([[0.0, 1.0], [0.5, 1.0], [0.0, 0.5]], dtype=np.float32)
    found = face_of_texel(uvs, np.array([[0, 1, 2]]), 8)
    assert found[0, 0] == 0 and found[7, 0] == -1 and found[0, 7] == -1


def test_barycentric_weights_recover_the_point() -> None:
    corners = np.array([[[[0.0, 0.0], [2.0, 0.5], [0.5, 3.0]]]])
    point = np.array([[[0.7, 1.1], [5.0, -2.0]]])
    weight = barycentric(point, corners)
    assert np.allclose(weight.sum(-1), 1.0)
    assert np.allclose((weight[..., None] * corners).sum(-2), point)
    flat = np.zeros((1, 1, 3, 2))
    assert (barycentric(point, flat) == -1.0).all()


def square() -> TriangleMesh:
    """Return the plane z = 0 from (-0.5, -0.5) to (0.5, 0.5), facing up."""
    vertices = torch.tensor([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, 0.5, 0.0]])
    return TriangleMesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]))


class Coloured(SoftSphere):
    """Geometry whose features are the position, with density 1000 below z = `top`."""

    top = 0.0

    def forward(self, points: torch.Tensor, normal: bool = False) -> FieldOutput:
        return FieldOutput(4.0 * points, density=1000.0 * (points[:, 2] < self.top))


def test_texels_have_the_colour_of_their_place_and_gaps_that_of_the_nearest() -> None:
    scene = replace(sphere_scene(), geometry=Coloured())
    mesh = square()
    uvs = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
    baked = bake(TriangleMesh(mesh.vertices, mesh.faces, uvs), scene, 32, samples=1, spacing=0.01, chunk_points=50)
    inside = torch.rand(100, 2, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    expected = torch.sigmoid(4.0 * torch.cat([2.0 * inside - 1.0, torch.zeros(100, 1)], dim=1))
    torch.testing.assert_close(texture_at(baked.texture, inside), expected, atol=0.01, rtol=0.0)
    assert torch.equal(baked.texture[0, 0], baked.texture[8, 8]), "the corner of the chart spreads to the border"


def test_one_sample_is_the_point_itself() -> None:
    points, inward = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[0.0, 0.0, -1.0]])
    color = albedo_at(replace(sphere_scene(), geometry=Coloured()), points, inward, 1, 0.1)
    torch.testing.assert_close(color, torch.sigmoid(4.0 * points))


def test_a_translucent_skin_shows_what_is_beneath() -> None:
    scene = replace(sphere_scene(), geometry=Coloured())
    points, inward = torch.tensor([[0.0, 0.0, 0.15]]), torch.tensor([[0.0, 0.0, -1.0]])
    # Samples at z = 0.15, 0.05 (empty), -0.05, -0.15 (solid): the third one is visible.
    color = albedo_at(scene, points, inward, 4, 0.1)
    torch.testing.assert_close(color, torch.sigmoid(torch.tensor([[0.0, 0.0, -0.2]])))
    # No solid sample on the way: the last sample terminates the ray.
    color = albedo_at(scene, points + torch.tensor([0.0, 0.0, 0.5]), inward, 2, 0.1)
    torch.testing.assert_close(color, torch.sigmoid(torch.tensor([[0.0, 0.0, 2.2]])))


@pytest.mark.parametrize("size", [1.0, 1e-8])
def test_charts_do_not_overlap_and_seams_keep_positions(size: float) -> None:
    vertices = size * torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    solid = TriangleMesh(vertices, torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    unwrapped = unwrap(solid, 64)
    assert torch.equal(unwrapped.vertices[unwrapped.faces], solid.vertices[solid.faces])
    assert unwrapped.uvs.min() >= 0.0 and unwrapped.uvs.max() <= 1.0
    texels = face_of_texel(unwrapped.uvs.numpy(), unwrapped.faces.numpy(), 64)
    a, b, c = unwrapped.uvs[unwrapped.faces].unbind(1)
    area = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs() * 64 * 64
    counted = np.bincount(texels[texels >= 0], minlength=4)
    assert np.abs(counted - area.numpy()).max() < 0.1 * area.max() + 8


def test_a_surface_without_area_is_an_error_that_says_what_to_do() -> None:
    line = TriangleMesh(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 1e-30, 0.0]]), torch.tensor([[0, 1, 2]]))
    with pytest.raises(ExportError, match="its 1 triangles have next to no area. Raise export.mesh.resolution"):
        unwrap(line, 64)
