"""Tests of timestep sampling and weighting."""

from __future__ import annotations

import pytest
import torch

from bozzetto.math.levels import rectified_flow, variance_preserving
from bozzetto.math.schedules import Schedule
from bozzetto.math.timesteps import level_weight, sample_timesteps, step_range, timestep_weight


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [
        ("one-minus-alpha-bar", [0.0, 0.75, 1.0]),
        ("uniform", [1.0, 1.0, 1.0]),
        ("fantasia3d", [0.0, 0.375, 0.0]),
    ],
)
def test_weights(weighting: str, expected: list[float]) -> None:
    weights = timestep_weight(weighting, torch.tensor([1.0, 0.25, 0.0]))
    torch.testing.assert_close(weights, torch.tensor(expected))


def test_velocity_is_weight_one_on_the_velocity_of_a_flow() -> None:
    level = rectified_flow(torch.tensor([0.0, 0.5, 0.75]))
    torch.testing.assert_close(level_weight("velocity", level), torch.tensor([1.0, 2.0, 4.0]))
    preserved = variance_preserving(torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(level_weight("velocity", preserved), torch.tensor([1.0, 2.0]))


def test_both_ends_are_drawn_and_nothing_else() -> None:
    drawn = sample_timesteps(500, 20, 24, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {20, 21, 22, 23, 24}


def test_one_timestep_is_a_range_too() -> None:
    assert sample_timesteps(3, 7, 7, torch.Generator()).tolist() == [7, 7, 7]


def test_the_generator_decides() -> None:
    first, again, other = (sample_timesteps(8, 0, 999, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("low", "high", "steps", "expected"),
    [(0.02, 0.98, 1000, (20, 980)), (0.0, 1.0, 1000, (0, 999)), (0.29, 0.29, 100, (29, 29)), (0.02, 0.98, 50, (1, 49))],
)
def test_fractions_become_steps(low: float, high: float, steps: int, expected: tuple[int, int]) -> None:
    assert step_range(low, high, steps) == expected


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.4), (-0.1, 0.5), (0.5, 1.1)])
def test_impossible_fractions_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="0 <= min <= max <= 1"):
        step_range(low, high, 1000)


def test_the_range_follows_schedules() -> None:
    high = Schedule(0.98, 0.5, 0, 100)
    assert [step_range(0.02, high.at(step), 1000)[1] for step in (0, 50, 100, 500)] == [980, 740, 500, 500]
