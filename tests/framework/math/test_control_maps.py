"""Tests of the maps for ControlNets against planes and spheres."""

from __future__ import annotations

import math

import pytest
import torch

from bozzetto.math.control_maps import FARTHEST, inverse_depth, normal_colors
from bozzetto.testing.fakes import cameras_around

SOLID = torch.ones(1, 1, 1, 1)


@pytest.mark.parametrize(
    ("side", "color"),
    [("right", (0.0, 0.5, 0.5)), ("left", (1.0, 0.5, 0.5)), ("up", (0.5, 1.0, 0.5)), ("front", (0.5, 0.5, 1.0))],
)
@pytest.mark.parametrize("azimuth_deg", [0.0, 100.0])
def test_red_is_left_green_is_up_and_blue_is_front(side: str, color: tuple[float, ...], azimuth_deg: float) -> None:
    camera = cameras_around([azimuth_deg], elevation_deg=20.0)
    axes = camera.c2w[0, :3, :3].T
    world = {"right": axes[0], "left": -axes[0], "up": axes[1], "front": axes[2]}[side]
    found = normal_colors(world.view(1, 1, 1, 3), SOLID, camera.c2w)
    torch.testing.assert_close(found.flatten(), torch.tensor(color))


def test_where_nothing_is_a_wall_faces_the_camera() -> None:
    camera = cameras_around([30.0])
    found = normal_colors(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 1), camera.c2w)
    assert torch.equal(found, torch.tensor([0.5, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2))


def depth_of_plane(size: int, distance: float, fov_y_rad: float) -> torch.Tensor:
    """Return the distances along the rays to a plane that faces the camera."""
    line = ((torch.arange(size) + 0.5) / size * 2.0 - 1.0) * math.tan(0.5 * fov_y_rad)
    return distance * (1.0 + line[:, None].square() + line[None].square()).sqrt()[None, ..., None]


def test_depth_is_along_the_axis_and_its_inverse_is_scaled() -> None:
    camera = cameras_around([50.0], size=8)
    fov = float(camera.fov_y_rad)
    depth = depth_of_plane(8, 2.0, fov)
    depth[:, 4:] = depth_of_plane(8, 4.0, fov)[:, 4:]
    depth[:, :, :3] = depth_of_plane(8, 8.0, fov)[:, :, :3]
    found = inverse_depth(depth, torch.ones_like(depth), camera.c2w, camera.fov_y_rad)
    assert found.shape == (1, 3, 8, 8)
    middle = FARTHEST + (1.0 - FARTHEST) * (1 / 4 - 1 / 8) / (1 / 2 - 1 / 8)
    for row, column, expected in ((0, 7, 1.0), (7, 7, middle), (0, 0, FARTHEST)):
        torch.testing.assert_close(found[0, :, row, column], torch.full((3,), expected), atol=1e-5, rtol=0.0)


def test_views_are_scaled_by_themselves_and_empty_ones_are_black() -> None:
    camera = cameras_around([0.0, 90.0, 0.0], size=2)
    depth = torch.tensor([[1.0, 2.0], [2.0, 4.0]]).view(1, 2, 2, 1) * torch.tensor([1.0, 3.0, 0.0]).view(3, 1, 1, 1)
    opacity = torch.ones(3, 2, 2, 1)
    opacity[2] = 0.0
    found = inverse_depth(depth, opacity, camera.c2w, camera.fov_y_rad)
    torch.testing.assert_close(found[0], found[1])
    assert torch.equal(found[2], torch.zeros(3, 2, 2))
    alone = inverse_depth(depth[1:2], opacity[1:2], camera.c2w[1:2], camera.fov_y_rad[1:2])
    assert torch.equal(found[1:2], alone)


def test_depth_weighted_by_opacity_is_the_same_surface_in_paler_grey() -> None:
    camera = cameras_around([0.0], size=4)
    depth, half = torch.linspace(2.0, 3.0, 16).view(1, 4, 4, 1), torch.full((1, 4, 4, 1), 0.75)
    solid = inverse_depth(depth, torch.ones_like(half), camera.c2w, camera.fov_y_rad)
    torch.testing.assert_close(inverse_depth(0.75 * depth, half, camera.c2w, camera.fov_y_rad), 0.75 * solid)
