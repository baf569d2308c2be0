"""Tests of the records: derived values, and the order of rays and samples."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.types import Cameras, FieldOutput, Rays, Samples, to_device


def cameras(height: int = 4, width: int = 6) -> Cameras:
    azimuth, elevation = torch.tensor([0.0, 90.0, -135.0]), torch.tensor([0.0, 30.0, -10.0])
    position = spherical_position(azimuth, elevation, torch.tensor([2.0, 2.5, 3.0]))
    return Cameras(look_at_origin(position), torch.tensor([0.6, 0.7, 0.8]), height, width)


def test_cameras_derive_angles_and_distance_from_the_matrix() -> None:
    views = cameras()
    assert len(views) == 3
    torch.testing.assert_close(views.azimuth_deg, torch.tensor([0.0, 90.0, -135.0]), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(views.elevation_deg, torch.tensor([0.0, 30.0, -10.0]), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(views.distance, torch.tensor([2.0, 2.5, 3.0]))
    moved = views.c2w.clone()
    moved[0, :3, 3] = torch.tensor([0.0, 5.0, 0.0])
    jittered = Cameras(moved, views.fov_y_rad, 4, 6)
    assert jittered.azimuth_deg[0].item() == pytest.approx(90.0)
    assert jittered.distance[0].item() == pytest.approx(5.0)


def test_rays_are_one_per_pixel_views_outermost_rows_from_the_top() -> None:
    views = cameras()
    rays = views.rays()
    assert rays.image_shape == (3, 4, 6) and len(rays) == 72
    torch.testing.assert_close(rays.direction.norm(dim=-1), torch.ones(72))
    origin, direction = rays.origin.reshape(3, 4, 6, 3), rays.direction.reshape(3, 4, 6, 3)
    torch.testing.assert_close(origin[:, 2, 5], views.position)
    front = direction[0]
    assert bool((front[0, :, 2] > front[-1, :, 2]).all()), "row 0 looks up (+z)"
    assert bool((front[:, -1, 1] > front[:, 0, 1]).all()), "the last column looks to +y from the front"


def test_the_vertical_field_of_view_spans_the_image() -> None:
    rays = cameras(height=200, width=1).rays().direction.reshape(3, 200, 1, 3)
    angle = torch.acos((rays[:, 0, 0] * rays[:, -1, 0]).sum(-1))
    torch.testing.assert_close(angle, torch.tensor([0.6, 0.7, 0.8]), atol=0.01, rtol=0.0)


def test_a_ray_knows_its_view() -> None:
    rays = cameras().rays()
    ray = torch.tensor([0, 23, 24, 47, 48, 71])
    assert rays.view_of(ray).tolist() == [0, 0, 1, 1, 2, 2]
    assert rays.view_of(ray[:0]).tolist() == []


def test_samples_lie_on_their_rays() -> None:
    rays = Rays(
        torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), (1, 1, 2)
    )
    samples = Samples(
        t_start=torch.tensor([1.0, 2.0, 0.5]),
        t_end=torch.tensor([2.0, 3.0, 1.5]),
        ray=torch.tensor([0, 0, 1]),
        offsets=torch.tensor([0, 2, 3]),
        rays=rays,
    )
    assert len(samples) == 3
    torch.testing.assert_close(samples.t_mid, torch.tensor([1.5, 2.5, 1.0]))
    expected = torch.tensor([[0.0, 0.0, 1.5], [0.0, 0.0, 2.5], [1.0, 1.0, 0.0]])
    torch.testing.assert_close(samples.points, expected)
    assert bool((torch.bincount(samples.ray, minlength=2) == samples.offsets.diff()).all())


def test_no_samples_are_no_trouble() -> None:
    rays = cameras(height=1, width=1).rays()
    empty = torch.zeros(0)
    samples = Samples(empty, empty, torch.zeros(0, dtype=torch.long), torch.zeros(4, dtype=torch.long), rays)
    assert len(samples) == 0 and samples.points.shape == (0, 3)


def test_records_are_frozen_and_their_extras_read_only() -> None:
    field = FieldOutput(features=torch.zeros(2, 3), density=torch.zeros(2))
    with pytest.raises(FrozenInstanceError):
        field.density = torch.ones(2)  # type: ignore[misc]
    with pytest.raises(TypeError):
        field.extra["anything"] = torch.ones(2)  # type: ignore[index]


def test_to_device_moves_nested_records_and_nothing_else() -> None:
    rays = cameras(height=1, width=1).rays()
    empty = torch.zeros(0)
    samples = Samples(empty, empty, torch.zeros(0, dtype=torch.long), torch.zeros(4, dtype=torch.long), rays)
    moved = to_device(samples, torch.device("meta"))
    assert moved.t_start.device.type == "meta" and moved.rays.origin.device.type == "meta"
    assert moved.rays.image_shape == rays.image_shape
    with pytest.raises(TypeError, match="is not a record"):
        to_device(3, torch.device("meta"))


def test_cameras_come_in_whole_groups() -> None:
    one = cameras()
    grouped = replace(one, views_per_group=3)
    assert grouped.rays().views_per_group == to_device(grouped, torch.device("cpu")).views_per_group == 3
    assert one.rays().views_per_group == 1
    for each in (0, 2):
        with pytest.raises(ValueError, match=f"3 views are not a whole number of groups of {each}"):
            replace(one, views_per_group=each)
