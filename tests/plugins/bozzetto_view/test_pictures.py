"""Tests of pictures from a browser's camera."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bozzetto.math.cameras import look_at_origin
from bozzetto.types import Rendered
from bozzetto_view.pictures import BEHIND, SHOWN, Look, Pose, _depth, _image, cameras_of, picture_of

FRONT = Pose((0.5, -0.5, -0.5, 0.5), (3.0, 0.0, 0.0), 0.7, 1.0)
"""Camera on +x that looks at the origin, z up; as a browser gives it."""


def test_a_browsers_camera_is_the_same_camera():
    cameras = cameras_of(FRONT, 16, torch.device("cpu"))
    expected = look_at_origin(torch.tensor([[3.0, 0.0, 0.0]]))
    assert torch.allclose(cameras.c2w, expected, atol=1e-6)
    assert (cameras.height, cameras.width) == (16, 16) and math.isclose(float(cameras.fov_y_rad[0]), 0.7, rel_tol=1e-6)


def test_odd_windows_are_limited():
    assert cameras_of(replace(FRONT, aspect=1.5), 16, torch.device("cpu")).width == 24
    assert cameras_of(replace(FRONT, aspect=1e9, fov_y_rad=0.0), 16, torch.device("cpu")).width == 64
    zero = cameras_of(replace(FRONT, wxyz=(0.0, 0.0, 0.0, 0.0)), 16, torch.device("cpu"))
    assert bool(torch.isfinite(zero.c2w).all())


@pytest.fixture
def scene(tiny):
    return tiny.system(tiny.recipe()).scene


@pytest.mark.parametrize("shown", SHOWN)
def test_every_picture_of_a_scene(scene, shown):
    found = picture_of(scene, cameras_of(FRONT, 8, scene.device), Look(shown, with_depth=True))
    assert found.pixels.shape == (8, 8, 3) and found.pixels.dtype == np.uint8
    assert found.depth.shape == (8, 8) and np.isfinite(found.depth).all()


def test_colours_are_those_of_the_evaluation(scene):
    cameras = cameras_of(FRONT, 8, scene.device)
    with torch.no_grad():
        expected = (scene.render(cameras).image[0] * 255).round().clamp(0, 255).byte().numpy()
    found = picture_of(scene, cameras, Look())
    assert found.depth is None and np.array_equal(found.pixels, expected)


def test_the_light_comes_from_where_it_is_put(scene, monkeypatch):
    seen = []
    forward = type(scene.renderer).forward

    def watched(self, cameras, geometry, material, background, shading, **more):
        seen.append(shading)
        return forward(self, cameras, geometry, material, background, shading, **more)

    monkeypatch.setattr(type(scene.renderer), "forward", watched)
    picture_of(scene, cameras_of(FRONT, 8, scene.device), Look("lit", 90.0, 0.0))
    assert seen[0].mode == "lambertian"
    assert torch.allclose(torch.nn.functional.normalize(seen[0].light), torch.tensor([[0.0, 1.0, 0.0]]), atol=1e-6)


def test_depth_is_measured_along_the_axis_and_far_where_nothing_is():
    cameras = cameras_of(replace(FRONT, fov_y_rad=math.pi / 2), 8, torch.device("cpu"))
    opacity = torch.ones(1, 8, 8, 1)
    opacity[0, 0, 0] = 0.0
    side = math.sqrt(1.0 + 2 * (7 / 8) ** 2)  # of the centre of a corner's pixel, at distance 1 along the axis
    rendered = Rendered(torch.zeros(1, 8, 8, 3), opacity, torch.full((1, 8, 8, 1), 2.0 * side))
    depth = _depth(rendered, cameras)
    assert depth[0, 0] == np.float32(BEHIND) and np.allclose(depth[7, 7], 2.0, atol=1e-5)


def test_outlines_have_the_depth_and_the_normal_of_the_surface():
    """Maps are weighted by opacity: half a pixel of a surface is as far away, and turned, as a whole one."""
    opacity = torch.ones(1, 8, 8, 1)
    opacity[0, :, 0], opacity[0, :, 1] = 0.0, 0.6  # to the left nothing, then an outline
    distance = torch.full((1, 8, 8, 1), 2.0)
    distance[0, 0] = 4.0  # the row above is the farthest
    normal = torch.tensor([1.0, 0.0, 0.0]).expand(1, 8, 8, 3)
    rendered = Rendered(torch.zeros(1, 8, 8, 3), opacity, opacity * distance, opacity * normal)
    depth = _depth(rendered, cameras_of(replace(FRONT, fov_y_rad=0.06), 8, torch.device("cpu")))
    assert np.allclose(depth[1:, 1:], 2.0, rtol=1e-2) and np.allclose(depth[0, 1:], 4.0, rtol=1e-2)
    assert (depth[:, 0] == np.float32(BEHIND)).all()
    grey = _image(rendered, "depth")[0, ..., 0]
    assert torch.allclose(grey[1, :4], torch.tensor([0.0, 0.6, 1.0, 1.0]))
    assert torch.allclose(grey[0, :4], torch.tensor([0.0, 0.12, 0.2, 0.2]))
    color = _image(rendered, "normal")[0, 1, :4]
    assert torch.allclose(color[:, 0], torch.ones(4))
    assert torch.allclose(color[:, 1], torch.tensor([1.0, 0.7, 0.5, 0.5]))


def test_latents_are_shown_as_colours(scene, monkeypatch):
    latent = Rendered(torch.randn(1, 8, 8, 4) * 5, torch.ones(1, 8, 8, 1), torch.ones(1, 8, 8, 1), space="latent")
    monkeypatch.setattr("bozzetto_view.pictures._rendered", lambda *_: latent)
    pixels = picture_of(scene, cameras_of(FRONT, 8, scene.device), Look()).pixels
    assert 60 < pixels.mean() < 190 and pixels.std() > 20
