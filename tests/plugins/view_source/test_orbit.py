"""Tests of `orbit`: every distribution of its config, and the errors of the config."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from bozzetto.math.cameras import look_at, spherical_position
from bozzetto.math.view_sampling import mixed_elevation_deg, stratified, uniform
from bozzetto.testing.view_source import ViewSourceContract
from bozzetto.types import Cameras
from bozzetto_plugins.view_source.config import OrbitConfig
from bozzetto_plugins.view_source.orbit import Orbit

MANY = OrbitConfig(batch_size=4000, height=2, width=2)


def sample(config: OrbitConfig, step: int = 0, seed: int = 0) -> Cameras:
    return Orbit(config).sample(step, torch.Generator().manual_seed(seed))


class TestOrbit(ViewSourceContract):
    def make(self) -> Orbit:
        return Orbit(OrbitConfig(batch_size=6, position_jitter=0.1, target_jitter_std=0.2, up_jitter_std=0.02))


class TestRelativeProgressiveOrbit(ViewSourceContract):
    step = 50

    def make(self) -> Orbit:
        return Orbit(OrbitConfig(relative_distance=True, distance=(0.8, 1.0), progressive_until_step=200))


class TestOrbitOfGroups(ViewSourceContract):
    def make(self) -> Orbit:
        return Orbit(OrbitConfig(batch_size=8, views_per_group=4, target_jitter_std=0.2))


def test_views_stay_in_their_ranges_and_fill_them() -> None:
    views = sample(MANY)
    for values, (low, high) in (
        (views.elevation_deg, MANY.elevation_deg),
        (views.azimuth_deg, MANY.azimuth_deg),
        (views.distance, MANY.distance),
        (torch.rad2deg(views.fov_y_rad), MANY.fov_y_deg),
    ):
        slack = 0.01 * (high - low)
        assert low - 0.001 <= values.min() < low + slack and high - slack < values.max() <= high + 0.001


def test_azimuths_are_stratified_over_the_batch() -> None:
    for seed in range(5):
        views = sample(OrbitConfig(batch_size=8), seed=seed)
        strata = torch.floor((views.azimuth_deg + 180.0) / 45.0)
        assert strata.tolist() == list(range(8))
    independent = sample(OrbitConfig(batch_size=64, stratified_azimuth=False))
    assert torch.floor((independent.azimuth_deg + 180.0) / (360.0 / 64)).unique().numel() < 60


@pytest.mark.parametrize(("rate", "uniform_in"), [(0.0, "angle"), (1.0, "sphere")])
def test_elevation_is_uniform_in_angle_or_on_the_sphere(rate: float, uniform_in: str) -> None:
    views = sample(replace(MANY, elevation_deg=(0.0, 90.0), sphere_uniform_rate=rate))
    sine = torch.sin(torch.deg2rad(views.elevation_deg)).mean().item()
    assert sine == pytest.approx(0.5 if uniform_in == "sphere" else 2.0 / math.pi, abs=0.02)


def test_the_field_of_view_is_per_view_or_per_batch() -> None:
    assert sample(OrbitConfig(batch_size=4)).fov_y_rad.unique().numel() == 4
    assert sample(OrbitConfig(batch_size=4, fov_per_view=False)).fov_y_rad.unique().numel() == 1


def test_relative_distance_keeps_the_frame_height() -> None:
    views = sample(replace(MANY, relative_distance=True, distance=(0.8, 1.0), fov_y_deg=(15.0, 60.0)))
    half_height = views.distance * torch.tan(0.5 * views.fov_y_rad)
    assert 0.799 < half_height.min() < 0.805 and 0.995 < half_height.max() < 1.001


@pytest.mark.parametrize("relative", [False, True])
def test_progressive_views_start_at_the_evaluation_view(relative: bool) -> None:
    config = replace(MANY, progressive_until_step=100, relative_distance=relative)
    start, eval_view = sample(config), Orbit(config).eval_cameras(1, torch.device("cpu"))
    torch.testing.assert_close(start.c2w, eval_view.c2w.expand_as(start.c2w), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(start.fov_y_rad, eval_view.fov_y_rad.expand_as(start.fov_y_rad))


def test_progressive_views_grow_to_the_full_ranges() -> None:
    config = replace(MANY, progressive_until_step=100)
    halfway = sample(config, step=50)
    assert halfway.azimuth_deg.abs().max() == pytest.approx(90.0, abs=0.5)
    assert halfway.elevation_deg.min() == pytest.approx(2.5, abs=0.1)
    assert halfway.elevation_deg.max() == pytest.approx(30.0, abs=0.1)
    torch.testing.assert_close(sample(config, step=100).c2w, sample(MANY).c2w)


def test_angles_are_those_of_the_jittered_camera() -> None:
    fixed = OrbitConfig(batch_size=500, elevation_deg=(0.0, 0.0), azimuth_deg=(0.0, 0.0), distance=(3.0, 3.0))
    views = sample(replace(fixed, position_jitter=0.1))
    offset = views.position - torch.tensor([3.0, 0.0, 0.0])
    assert 0.09 < offset.abs().max() <= 0.1001
    torch.testing.assert_close(
        views.azimuth_deg, torch.rad2deg(torch.atan2(views.position[:, 1], views.position[:, 0]))
    )
    assert views.distance.std() > 0.03


def test_target_and_up_jitter_turn_the_camera_but_do_not_move_it() -> None:
    fixed = OrbitConfig(batch_size=2000, elevation_deg=(0.0, 0.0), azimuth_deg=(0.0, 0.0), distance=(3.0, 3.0))
    still = sample(fixed)
    turned = sample(replace(fixed, target_jitter_std=0.2))
    torch.testing.assert_close(turned.position, still.position)
    # The forward axis hits the plane x = 0 at the target's y and z, up to the target's own x.
    forward = -turned.c2w[:, :3, 2]
    assert (3.0 * forward[:, 1] / -forward[:, 0]).std().item() == pytest.approx(0.2, abs=0.02)
    rolled = sample(replace(fixed, up_jitter_std=0.02))
    torch.testing.assert_close(rolled.c2w[:, :3, 2], still.c2w[:, :3, 2])
    assert rolled.c2w[:, 2, 0].std().item() == pytest.approx(0.02, abs=0.003)


def test_sizes_follow_the_milestones() -> None:
    config = OrbitConfig(batch_size=(4, 2, 1), height=(64, 128, 256), width=32, resolution_milestones=(200, 300))
    sizes = [(len(v), v.height, v.width) for v in (sample(config, step) for step in (0, 199, 200, 299, 300, 9999))]
    assert sizes == [(4, 64, 32)] * 2 + [(2, 128, 32)] * 2 + [(1, 256, 32)] * 2


def test_eval_cameras_use_the_evaluation_view() -> None:
    config = OrbitConfig(eval_elevation_deg=20.0, eval_distance=2.0, eval_fov_y_deg=50.0, eval_height=8, eval_width=6)
    views = Orbit(config).eval_cameras(4, torch.device("cpu"))
    torch.testing.assert_close(views.elevation_deg, torch.full((4,), 20.0))
    torch.testing.assert_close(views.distance, torch.full((4,), 2.0))
    torch.testing.assert_close(torch.rad2deg(views.fov_y_rad), torch.full((4,), 50.0))
    assert (views.height, views.width) == (8, 6)
    assert views.position[1, 1] > 0.0, "the second of four cameras stands on +y"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"elevation_deg": (10.0, 95.0)}, "elevation_deg[1]: must lie in [-90, 90], got 95.0"),
        ({"elevation_deg": (30.0, 10.0)}, "elevation_deg: must be [low, high], got [30.0, 10.0]"),
        ({"azimuth_deg": (-360.0, 360.0)}, "azimuth_deg: must span at most 360 degrees, got [-360.0, 360.0]"),
        ({"distance": (0.0, 1.0)}, "distance[0]: must lie in [0.001, 1000], got 0.0"),
        ({"fov_y_deg": (40.0, 180.0)}, "fov_y_deg[1]: must lie in [0.1, 179], got 180.0"),
        ({"batch_size": 0}, "batch_size: must lie in [1, 4096], got 0"),
        (
            {"height": (64, 128)},
            "height: needs 1 entries, the first and one for each of the 0 resolution_milestones, got [64, 128]",
        ),
        (
            {"resolution_milestones": (300, 200)},
            "resolution_milestones: must be ascending steps from 1 on, got [300, 200]",
        ),
        (
            {"views_per_group": 4, "batch_size": (8, 6), "resolution_milestones": (9,)},
            "batch_size: counts views and must be a multiple of views_per_group (4), got 6; the nearest are 4 and 8",
        ),
        (
            {"views_per_group": 4},
            "batch_size: counts views and must be a multiple of views_per_group (4), got 1; the nearest is 4",
        ),
        ({"views_per_group": 0}, "views_per_group: must lie in [1, 64], got 0"),
        (
            {"views_per_group": 4, "batch_size": 4, "stratified_azimuth": False},
            "stratified_azimuth: has no effect with groups, whose views are a ring. Remove it, or set views_per_group "
            "to 1, got 4",
        ),
        ({"sphere_uniform_rate": 1.5}, "sphere_uniform_rate: must lie in [0, 1], got 1.5"),
        ({"up_jitter_std": -0.1}, "up_jitter_std: must lie in [0, 1000], got -0.1"),
        ({"eval_elevation_deg": 91.0}, "eval_elevation_deg: must lie in [-90, 90], got 91.0"),
        ({"eval_distance": 0.0}, "eval_distance: must lie in [0.001, 1000], got 0.0"),
        ({"eval_fov_y_deg": 180.0}, "eval_fov_y_deg: must lie in [0.1, 179], got 180.0"),
        ({"eval_width": 0}, "eval_width: must lie in [1, 8192], got 0"),
    ],
)
def test_a_wrong_config_says_which_field_and_why(changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        OrbitConfig(**changes)
    assert str(caught.value) == message


GROUPED = OrbitConfig(
    batch_size=12, views_per_group=4, relative_distance=True, distance=(0.8, 1.0), fov_y_deg=(15.0, 60.0)
)


def turned_rad(views: Cameras, each: int) -> torch.Tensor:
    """Return the azimuths between neighbours in each group, in double precision."""
    position = views.position.double()
    azimuth = torch.atan2(position[:, 1], position[:, 0]).unflatten(0, (-1, each))
    return (azimuth.roll(-1, dims=1) - azimuth) % (2.0 * math.pi)


@pytest.mark.parametrize("each", [2, 4, 6])
def test_a_group_is_a_ring_of_one_elevation_distance_and_field_of_view(each: int) -> None:
    views = sample(replace(GROUPED, views_per_group=each), seed=3)
    assert views.views_per_group == each and len(views) == 12
    steps = turned_rad(views, each)
    torch.testing.assert_close(steps, torch.full_like(steps, 2.0 * math.pi / each), atol=1e-6, rtol=0.0)
    fov, distance, elevation = (
        value.unflatten(0, (-1, each)) for value in (views.fov_y_rad, views.distance, views.elevation_deg)
    )
    assert torch.equal(fov, fov[:, :1].expand_as(fov))
    torch.testing.assert_close(distance, distance[:, :1].expand_as(distance), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(elevation, elevation[:, :1].expand_as(elevation), rtol=0.0, atol=1e-4)
    assert fov[:, 0].unique().numel() == 12 // each
    assert bool((elevation[:, 0].diff().abs() > 1e-3).all())


def test_two_groups_are_drawn_with_one_number_each() -> None:
    """The draws of a batch of groups are those of a batch of as many views, but for the azimuths."""
    plain = replace(GROUPED, batch_size=3, views_per_group=1, stratified_azimuth=False)
    generator, other = torch.Generator().manual_seed(4), torch.Generator().manual_seed(4)
    grouped, single = Orbit(GROUPED).sample(0, generator), Orbit(plain).sample(0, other)
    assert torch.equal(generator.get_state(), other.get_state())
    assert torch.equal(grouped.fov_y_rad[::4], single.fov_y_rad)
    torch.testing.assert_close(grouped.elevation_deg[::4], single.elevation_deg)
    turn = (single.azimuth_deg + 180.0) / 360.0
    torch.testing.assert_close(grouped.azimuth_deg[::4], -180.0 + 90.0 * turn, rtol=0.0, atol=1e-3)


def test_a_group_shares_its_jitter() -> None:
    jittered = replace(GROUPED, position_jitter=0.1, target_jitter_std=0.2, up_jitter_std=0.02)
    still, moved = sample(replace(GROUPED, position_jitter=0.0)), sample(jittered)
    shift = (moved.position - still.position).unflatten(0, (3, 4))
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), rtol=0.0, atol=1e-6)
    assert bool((shift[:, 0].norm(dim=-1) > 1e-3).all())


def test_views_without_groups_are_drawn_as_before_groups() -> None:
    """Order, count and use of every draw, as they were without the setting."""
    config = OrbitConfig(batch_size=6, position_jitter=0.1, target_jitter_std=0.2, up_jitter_std=0.02)
    generator, again = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
    views = Orbit(config).sample(0, generator)
    azimuth_deg = stratified(config.azimuth_deg, 6, again)
    elevation_deg = mixed_elevation_deg(config.elevation_deg, 6, 0.5, again)
    fov_y_rad = torch.deg2rad(uniform(config.fov_y_deg, 6, again))
    position = spherical_position(azimuth_deg, elevation_deg, uniform(config.distance, 6, again))
    position = position + 0.1 * (2.0 * torch.rand(6, 3, generator=again) - 1.0)
    target = 0.2 * torch.randn(6, 3, generator=again)
    up = torch.tensor([0.0, 0.0, 1.0]).expand(6, 3) + 0.02 * torch.randn(6, 3, generator=again)
    assert torch.equal(views.c2w, look_at(position, target, up)) and torch.equal(views.fov_y_rad, fov_y_rad)
    assert torch.equal(generator.get_state(), again.get_state())
