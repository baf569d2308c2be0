"""Tests of the renderer `mesh`."""

import pytest
import torch

from bozzetto.errors import ConfigError, NonFiniteError
from bozzetto.testing.mesh_scenes import BallMesh
from bozzetto.testing.renderer import RendererContract
from bozzetto.testing.scenes import PlainBackground, PlainMaterial, SoftSphere, cameras_around
from bozzetto.types import TriangleMesh
from bozzetto_plugins.renderer.config import MeshConfig
from bozzetto_plugins.renderer.mesh import Mesh, within_range


class TestMeshContract(RendererContract):
    def make(self, radius=1.0):
        return Mesh(MeshConfig(), radius)

    def ball(self):
        return BallMesh()


def render(geometry, cameras, background=None, generator=None, **options):
    material, background = PlainMaterial(), background or PlainBackground()
    renderer = Mesh(MeshConfig(), 1.0)
    return renderer(
        cameras, geometry, material, background, material.eval_shading(cameras), generator=generator, **options
    )


def test_the_picture_stands_upright():
    class Top(BallMesh):
        def extract_mesh(self):
            mesh = super().extract_mesh()
            return TriangleMesh(0.2 * mesh.vertices + torch.tensor([0.0, 0.4, 0.6]), mesh.faces)

    # From azimuth 0 (on +x) the world's z is up and +y is to the right.
    opacity = render(Top(), cameras_around(1, size=33)).opacity[0, ..., 0].detach()
    row, column = (opacity > 0.5).nonzero().float().mean(0)
    assert row < 12 and column > 18


def test_the_silhouette_has_the_area_of_a_disc():
    cameras = cameras_around(1, size=64)
    area = float(render(BallMesh(subdivisions=4), cameras).opacity.sum().detach())
    tangent = 0.5 / (2.5**2 - 0.5**2) ** 0.5
    focal = 32.0 / torch.tan(0.5 * cameras.fov_y_rad[0])
    assert area == pytest.approx(float(torch.pi * (tangent * focal) ** 2), rel=0.01)


def test_the_radius_is_found_from_a_mask():
    """The gradient of antialiased silhouettes alone fits the ball to the correct size."""
    cameras = cameras_around(2, size=32)
    target = render(BallMesh(sphere_radius=0.6, subdivisions=2), cameras).opacity.detach()
    ball = BallMesh(sphere_radius=0.4, subdivisions=2)
    optimizer = torch.optim.Adam([ball.sphere_radius], lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        (render(ball, cameras).opacity - target).square().mean().backward()
        optimizer.step()
    assert float(ball.sphere_radius.detach()) == pytest.approx(0.6, abs=0.02)


def test_each_pixel_has_its_own_background():
    class Gradient(torch.nn.Module):
        def forward(self, rays, generator):
            return 0.5 * (rays.direction + 1.0)

    cameras = cameras_around(1)
    image = render(BallMesh(), cameras, Gradient()).image[0]
    expected = 0.5 * (cameras.rays().direction.view(17, 17, 3) + 1.0)
    torch.testing.assert_close(image[0], expected[0])
    assert not torch.equal(image[0, 0], image[0, 16])


def test_flat_normals_are_those_of_the_triangles():
    cameras, material, background = cameras_around(1), PlainMaterial(), PlainBackground()
    shading = material.eval_shading(cameras)
    ball = BallMesh(subdivisions=0)
    flat, smooth = (
        Mesh(MeshConfig(normals=kind), 1.0)(cameras, ball, material, background, shading, normal=True).normal
        for kind in ("flat", "smooth")
    )
    inside = render(ball, cameras).opacity[..., 0] == 1.0
    assert len(torch.unique(flat[inside].detach().round(decimals=3), dim=0)) <= 10  # the sides that face the camera
    assert len(torch.unique(smooth[inside].detach().round(decimals=3), dim=0)) > 20


def test_the_surface_is_handed_to_losses():
    rendered = render(BallMesh(), cameras_around(1))
    assert rendered.mesh is not None and rendered.mesh.vertices.requires_grad
    assert rendered.volume is None and rendered.normal is None


def test_a_geometry_without_a_surface_is_told():
    with pytest.raises(ConfigError, match="renderer mesh needs a surface, and geometry SoftSphere"):
        render(SoftSphere(), cameras_around(1))


class Vanished(BallMesh):
    def extract_mesh(self):
        mesh = super().extract_mesh()
        return TriangleMesh(mesh.vertices[:0], mesh.faces[:0])


def test_a_vanished_surface_is_told_in_training_and_shown_as_nothing_to_people():
    cameras = cameras_around(2)
    with pytest.raises(ConfigError, match="has vanished"):
        render(Vanished(), cameras, generator=torch.Generator())
    rendered = render(Vanished(), cameras, normal=True)
    assert float(rendered.opacity.abs().max()) == 0.0 and rendered.normal.shape == (2, 17, 17, 3)


def test_vertices_that_are_not_finite_are_told():
    ball = BallMesh(sphere_radius=float("nan"))
    with pytest.raises(NonFiniteError, match="geometry BallMesh gave a vertex that is not finite"):
        render(ball, cameras_around(1))


def test_shares_beyond_the_whole_are_brought_back():
    pixel = torch.tensor([1.8, 0.9, 0.0, 1.5, 3.0, 0.0, 0.0, 1.5])
    back = within_range(torch.stack([pixel, -pixel]).view(1, 1, 2, 8))[0, 0]
    torch.testing.assert_close(back[0], torch.tensor([1.0, 0.6, 0.0, 1.0, 2.0, 0.0, 0.0, 1.0]))
    assert back[1].count_nonzero() == 0
