"""Tests of camera geometry in closed form: handedness, left and right, up and down, angles, rays."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bozzetto.math.cameras import (
    azimuth_deg,
    elevation_deg,
    look_at,
    look_at_origin,
    ray_directions,
    spherical_position,
    unit_distance,
)

UP = torch.tensor([[0.0, 0.0, 1.0]])


def orbit_camera(azimuth: float, elevation: float, distance: float = 3.0) -> Tensor:
    position = spherical_position(*(torch.tensor([value]) for value in (azimuth, elevation, distance)))
    return look_at_origin(position)


def project(c2w: Tensor, fov_y_rad: float, size: int, point: tuple[float, float, float]) -> tuple[float, float]:
    """Return (column, row) in pixels, from the matrix alone: independent of `ray_directions`."""
    x, y, z = (torch.linalg.inv(c2w[0]) @ torch.tensor([*point, 1.0]))[:3].tolist()
    focal = 0.5 * size / math.tan(0.5 * fov_y_rad)
    return 0.5 * size + focal * x / -z, 0.5 * size - focal * y / -z


@pytest.mark.parametrize("elevation", [-90.0, -60.0, 0.0, 15.0, 89.9, 90.0])
@pytest.mark.parametrize("azimuth", [-135.0, 0.0, 45.0, 90.0, 180.0])
def test_cameras_are_finite_and_right_handed(azimuth: float, elevation: float) -> None:
    c2w = orbit_camera(azimuth, elevation)
    assert bool(torch.isfinite(c2w).all())
    rotation = c2w[0, :3, :3]
    assert torch.linalg.det(rotation).item() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0.0)


def test_the_front_camera_sits_on_x_and_has_y_on_its_right_and_z_above() -> None:
    c2w = orbit_camera(0.0, 0.0)
    torch.testing.assert_close(c2w[0, :3, 3], torch.tensor([3.0, 0.0, 0.0]))
    right, up, backward = c2w[0, :3, :3].T
    torch.testing.assert_close(right, torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(up, torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(backward, torch.tensor([1.0, 0.0, 0.0]))


def test_markers_land_where_a_person_sees_them() -> None:
    c2w = orbit_camera(0.0, 0.0)
    column, row = project(c2w, 0.7, 64, (0.0, 0.5, 0.0))
    assert column > 33.0 and row == pytest.approx(32.0), "world +y must be on the right of the front view"
    column, row = project(c2w, 0.7, 64, (0.0, 0.0, 0.5))
    assert row < 31.0 and column == pytest.approx(32.0), "world +z must be on top"
    column, _ = project(orbit_camera(180.0, 0.0), 0.7, 64, (0.0, 0.5, 0.0))
    assert column < 31.0, "from behind, world +y must be on the left"


@pytest.mark.parametrize("point", [(0.0, 0.5, 0.0), (0.0, 0.0, 0.5), (0.3, -0.4, 0.2)])
def test_rays_agree_with_the_projection(point: tuple[float, float, float]) -> None:
    c2w, fov, size = orbit_camera(30.0, 20.0), 0.7, 64
    column, row = project(c2w, fov, size, point)
    directions = ray_directions(c2w, torch.tensor([fov]), size, size)[0]
    wanted = torch.nn.functional.normalize(torch.tensor(point) - c2w[0, :3, 3], dim=-1)
    nearest = int((directions @ wanted).argmax())
    assert abs(nearest // size + 0.5 - row) <= 0.51 and abs(nearest % size + 0.5 - column) <= 0.51


def test_angles_survive_the_round_trip() -> None:
    azimuth = torch.arange(-175.0, 181.0, 5.0)
    elevation = torch.arange(-85.0, 90.0, 5.0)
    grid = torch.cartesian_prod(azimuth, elevation)
    position = spherical_position(grid[:, 0], grid[:, 1], torch.linspace(0.5, 4.0, len(grid)))
    torch.testing.assert_close(azimuth_deg(position), grid[:, 0], atol=1e-3, rtol=0.0)
    torch.testing.assert_close(elevation_deg(position), grid[:, 1], atol=1e-3, rtol=0.0)
    torch.testing.assert_close(position.norm(dim=-1), torch.linspace(0.5, 4.0, len(grid)))


def test_positions_at_named_angles() -> None:
    position = spherical_position(
        torch.tensor([0.0, 90.0, 180.0, 0.0]), torch.tensor([0.0, 0.0, 0.0, 90.0]), torch.full((4,), 2.0)
    )
    expected = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    torch.testing.assert_close(position, expected, atol=1e-6, rtol=0.0)


def test_the_back_is_180_and_never_minus_180() -> None:
    behind = torch.tensor([[-1.0, 0.0, 0.0], [-1.0, -0.0, 0.0], [-1.0, -1e-9, 0.0]])
    assert azimuth_deg(behind).tolist() == [180.0, 180.0, 180.0]


def test_straight_above_keeps_the_front_at_the_bottom_of_the_image() -> None:
    c2w = orbit_camera(0.0, 90.0)
    column, row = project(c2w, 0.7, 64, (0.5, 0.0, 0.0))
    assert row > 33.0 and column == pytest.approx(32.0, abs=1e-3)
    column, _ = project(c2w, 0.7, 64, (0.0, 0.5, 0.0))
    assert column > 33.0


def test_the_centre_ray_passes_through_the_target() -> None:
    position, target = torch.tensor([[1.0, -2.0, 0.7]]), torch.tensor([[0.2, 0.1, -0.3]])
    c2w = look_at(position, target, UP)
    centre = ray_directions(c2w, torch.tensor([0.8]), 5, 7)[0, 2, 3]
    torch.testing.assert_close(centre, torch.nn.functional.normalize(target - position, dim=-1)[0])


@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 8), (6, 2)])
def test_edge_and_corner_rays_match_the_field_of_view(height: int, width: int) -> None:
    fov = math.radians(50.0)
    rays = ray_directions(torch.eye(4)[None], torch.tensor([fov]), height, width)[0]
    assert rays.shape == (height, width, 3)
    torch.testing.assert_close(rays.norm(dim=-1), torch.ones(height, width))
    # The centre of the corner pixel is half a pixel inside the frame, whose top edge is at tan(fov / 2).
    top = math.tan(fov / 2) * (1.0 - 1.0 / height)
    left = -math.tan(fov / 2) * (width - 1.0) / height
    corner = torch.nn.functional.normalize(torch.tensor([left, top, -1.0]), dim=-1)
    torch.testing.assert_close(rays[0, 0], corner)
    torch.testing.assert_close(rays[-1, -1], corner * torch.tensor([-1.0, -1.0, 1.0]))


def test_each_view_keeps_its_own_field_of_view() -> None:
    both = ray_directions(torch.eye(4).expand(2, 4, 4), torch.tensor([0.4, 0.9]), 2, 2)
    for index, fov in enumerate((0.4, 0.9)):
        alone = ray_directions(torch.eye(4)[None], torch.tensor([fov]), 2, 2)
        torch.testing.assert_close(both[index], alone[0])


def test_at_distance_one_a_camera_looks_the_same_way() -> None:
    far = orbit_camera(30.0, 20.0, 4.0)
    near = unit_distance(far)
    torch.testing.assert_close(near, orbit_camera(30.0, 20.0, 1.0))
    assert far[0, :3, 3].norm().item() == pytest.approx(4.0), "the input is left as it is"
