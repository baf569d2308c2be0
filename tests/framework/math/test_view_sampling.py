"""Tests of view distributions, in closed form or by their means."""

from __future__ import annotations

import math

import pytest
import torch

from bozzetto.math.view_sampling import (
    distance_of_frame,
    grown_range,
    mixed_elevation_deg,
    rings,
    sphere_uniform_elevation_deg,
    stratified,
    uniform,
)

COUNT = 40_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_uniform_fills_its_range() -> None:
    drawn = uniform((2.0, 5.0), COUNT, seeded())
    assert 2.0 <= drawn.min() < 2.01 and 4.99 < drawn.max() <= 5.0
    assert drawn.mean().item() == pytest.approx(3.5, abs=0.02)
    assert drawn.var().item() == pytest.approx(9.0 / 12.0, abs=0.02)


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_stratified_draws_exactly_one_per_stratum(count: int) -> None:
    drawn = stratified((-180.0, 180.0), count, seeded())
    strata = torch.floor((drawn + 180.0) / (360.0 / count)).long()
    assert strata.tolist() == list(range(count))


def test_stratified_is_uniform_within_each_stratum() -> None:
    drawn = stratified((0.0, 1.0), COUNT, seeded())
    inside = drawn * COUNT - torch.arange(COUNT)
    assert inside.mean().item() == pytest.approx(0.5, abs=0.02)


def test_the_sine_of_sphere_uniform_elevations_is_uniform() -> None:
    drawn = sphere_uniform_elevation_deg((-10.0, 90.0), COUNT, seeded())
    low, high = math.sin(math.radians(-10.0)), 1.0
    sine = torch.sin(torch.deg2rad(drawn))
    assert sine.mean().item() == pytest.approx(0.5 * (low + high), abs=0.01)
    assert sine.var().item() == pytest.approx((high - low) ** 2 / 12.0, abs=0.005)
    assert drawn.min() >= -10.001 and drawn.max() <= 90.001


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_mixed_elevations_have_the_mixed_mean(rate: float) -> None:
    drawn = mixed_elevation_deg((0.0, 90.0), COUNT, rate, seeded())
    # Mean of asin(U[0, 1]) is pi/2 - 1 rad; mean of U[0, 90] is 45.
    expected = rate * math.degrees(math.pi / 2 - 1.0) + (1.0 - rate) * 45.0
    assert drawn.mean().item() == pytest.approx(expected, abs=0.6)


def test_a_range_grows_from_its_centre() -> None:
    assert grown_range(15.0, (-10.0, 45.0), 0.0) == (15.0, 15.0)
    assert grown_range(15.0, (-10.0, 45.0), 0.5) == (2.5, 30.0)
    assert grown_range(15.0, (-10.0, 45.0), 1.0) == (-10.0, 45.0)


def test_the_frame_has_the_asked_height_at_the_target() -> None:
    half_height, fov = torch.tensor([0.8, 0.8, 1.0]), torch.tensor([0.3, 1.0, math.pi / 2])
    distance = distance_of_frame(half_height, fov)
    torch.testing.assert_close(distance * torch.tan(0.5 * fov), half_height)
    assert distance[2].item() == pytest.approx(1.0)


def test_rings_are_equal_steps_from_one_draw_per_group() -> None:
    drawn = rings((-180.0, 180.0), 3, 4, seeded(2)).unflatten(0, (3, 4))
    steps = drawn[:, 1:] - drawn[:, :-1]
    torch.testing.assert_close(steps, torch.full_like(steps, 90.0), rtol=1e-6, atol=0.0)
    turn = torch.rand(3, 1, generator=seeded(2))
    torch.testing.assert_close(drawn[:, :1], -180.0 + turn / 4 * 360.0)
    assert bool((turn.diff(dim=0).abs() > 0.01).all())
