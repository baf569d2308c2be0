"""Tests of view words and their blends, at every border."""

from __future__ import annotations

import math

import pytest
import torch

from bozzetto.math.view_directions import (
    DIRECTIONS,
    hard_weights,
    interpolation_weights,
    perp_neg_weights,
    split_sides,
    switched_perp_neg_weights,
    view_direction,
)

FS, SB, FSB = (4.0, 0.5, -2.426), (1.0, 0.5, -0.606), (1.0, 0.5, 0.967)


def word(azimuth: float, elevation: float = 0.0, front: float = 90.0, overhead: float = 60.0) -> str:
    index = view_direction(torch.tensor([azimuth]), torch.tensor([elevation]), front, overhead)
    return DIRECTIONS[int(index)]


@pytest.mark.parametrize(
    ("azimuth", "expected"),
    [
        (0.0, "front"), (44.99, "front"), (-44.99, "front"),
        (45.0, "side"), (-45.0, "side"), (90.0, "side"), (-90.0, "side"),
        (135.0, "side"), (-135.0, "side"),
        (135.01, "back"), (-135.01, "back"), (180.0, "back"), (-180.0, "back"), (179.9, "back"),
        (360.0, "front"), (405.0, "side"), (-315.0, "side"), (540.0, "back"), (-320.0, "front"), (181.0, "back"),
    ],
)  # fmt: skip
def test_azimuth_borders_and_wraps(azimuth: float, expected: str) -> None:
    assert word(azimuth) == expected


@pytest.mark.parametrize(
    ("elevation", "expected"),
    [(-90.0, "front"), (0.0, "front"), (60.0, "front"), (60.01, "overhead"), (90.0, "overhead")],
)
def test_overhead_wins_above_its_border(elevation: float, expected: str) -> None:
    assert word(0.0, elevation) == expected


@pytest.mark.parametrize("azimuth", [0.0, 90.0, 180.0, -180.0])
def test_overhead_whatever_the_azimuth(azimuth: float) -> None:
    assert word(azimuth, 61.0) == "overhead"


def test_both_thresholds_are_used() -> None:
    assert word(20.0, front=60.0) == "front"
    assert word(30.0, front=60.0) == "side"
    assert word(150.0, front=60.0) == "side"
    assert word(151.0, front=60.0) == "back"
    assert word(0.0, 40.0, overhead=30.0) == "overhead"
    assert word(90.0, front=180.0) == "side"
    assert word(89.9, front=180.0) == "front"
    assert word(90.1, front=180.0) == "back"


def test_hard_weights_are_one_hot() -> None:
    weights = hard_weights(torch.tensor([0.0, 90.0, 180.0, 0.0]), torch.tensor([0.0, 0.0, 0.0, 80.0]), 90.0, 60.0)
    assert torch.equal(weights, torch.eye(4))


@pytest.mark.parametrize(
    ("azimuth", "expected"),
    [
        (0.0, [1.0, 0.0, 0.0]), (45.0, [0.5, 0.5, 0.0]), (-45.0, [0.5, 0.5, 0.0]), (90.0, [0.0, 1.0, 0.0]),
        (-90.0, [0.0, 1.0, 0.0]), (135.0, [0.0, 0.5, 0.5]), (180.0, [0.0, 0.0, 1.0]), (-180.0, [0.0, 0.0, 1.0]),
        (225.0, [0.0, 0.5, 0.5]), (360.0, [1.0, 0.0, 0.0]),
    ],
)  # fmt: skip
def test_interpolation(azimuth: float, expected: list[float]) -> None:
    weights = interpolation_weights(torch.tensor([azimuth]), torch.zeros(1), 60.0)
    torch.testing.assert_close(weights, torch.tensor([[*expected, 0.0]]))


def test_interpolation_is_continuous_and_sums_to_one() -> None:
    azimuth = torch.arange(-360.0, 360.0, 0.5)
    weights = interpolation_weights(azimuth, torch.zeros_like(azimuth), 60.0)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones_like(azimuth))
    assert weights.diff(dim=0).abs().max() < 0.006


def test_interpolation_switches_to_overhead() -> None:
    weights = interpolation_weights(torch.tensor([45.0, 45.0]), torch.tensor([60.0, 60.5]), 60.0)
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]))


def negative_weights(azimuth: float, elevation: float = 0.0) -> list[float]:
    angles = torch.tensor([azimuth], dtype=torch.float64), torch.tensor([elevation], dtype=torch.float64)
    return perp_neg_weights(*angles, 60.0, FS, FS, SB, FSB)[0].tolist()


@pytest.mark.parametrize("azimuth", [0.0, 360.0])
def test_the_front_is_not_pushed_off_itself(azimuth: float) -> None:
    front, side = negative_weights(azimuth)
    assert front == pytest.approx(0.0, abs=2e-4)
    assert side == pytest.approx(-(4.0 - 2.426))


def test_a_quarter_turn_in_closed_form() -> None:
    expected = -(4.0 * math.exp(-0.25) - 2.426)
    assert negative_weights(45.0) == pytest.approx([expected, expected])
    assert negative_weights(-45.0) == pytest.approx([expected, expected])


def test_the_side_is_pushed_off_the_front() -> None:
    front, side = negative_weights(90.0)
    assert front == pytest.approx(-(math.exp(-0.5) + 0.967))
    assert side == pytest.approx(0.0, abs=6e-4)


@pytest.mark.parametrize("azimuth", [180.0, -180.0])
def test_the_back_is_pushed_off_front_and_side(azimuth: float) -> None:
    assert negative_weights(azimuth) == pytest.approx([-1.967, -(1.0 - 0.606)])


def test_overhead_views_are_not_pushed() -> None:
    assert negative_weights(180.0, 60.1) == [0.0, 0.0]
    assert negative_weights(180.0, 60.0) != [0.0, 0.0]


def test_no_weight_is_positive() -> None:
    azimuth = torch.linspace(-180.0, 180.0, 181)
    weights = perp_neg_weights(azimuth, torch.zeros_like(azimuth), 60.0, FS, FS, (1.0, 0.5, -0.61), FSB)
    assert (weights <= 0).all()


@pytest.mark.parametrize(
    ("azimuth", "side"),
    [(0.0, 4), (90.0, 4), (179.9, 4), (180.0, 5), (-90.0, 5), (-0.1, 5), (270.0, 5), (450.0, 4), (-180.0, 5)],
)
def test_sides_by_azimuth(azimuth: float, side: int) -> None:
    weights = torch.tensor([[0.2, 0.5, 0.0, 0.3]])
    split = split_sides(weights, torch.tensor([azimuth]))
    expected = torch.zeros(1, 6)
    expected[0, [0, 3, side]] = torch.tensor([0.2, 0.3, 0.5])
    torch.testing.assert_close(split, expected)


@pytest.mark.parametrize(
    ("azimuth", "front", "side"),
    [
        (0.0, 0.0001, 1.574), (89.9999, 1.574, 0.0001), (90.0, 1.5735, 0.0005), (180.0, 1.967, 0.394),
    ],
)  # fmt: skip
def test_continuous_weights_at_the_borders(azimuth: float, front: float, side: float) -> None:
    assert negative_weights(azimuth) == pytest.approx([-front, -side], abs=1e-4)


def switched(azimuth: float, elevation: float = 0.0) -> list[float]:
    angles = torch.tensor([azimuth], dtype=torch.float64), torch.tensor([elevation], dtype=torch.float64)
    return switched_perp_neg_weights(*angles, 60.0)[0].tolist()


@pytest.mark.parametrize(
    ("azimuth", "expected"),
    [
        (0.0, [0.0, -2.0]), (18.1, [-0.405, -0.268]), (45.0, [-0.736, -0.0135]), (89.9, [-1.996, 0.0]),
        (90.0, [-2.0, 0.0]), (108.1, [-2.0, -0.0003]), (180.0, [-2.0, -1.0]), (-18.1, [-0.405, -0.268]),
        (341.9, [-0.405, -0.268]), (-108.1, [-2.0, -0.0003]),
    ],
)  # fmt: skip
def test_switched_weights_are_the_table(azimuth: float, expected: list[float]) -> None:
    assert switched(azimuth) == pytest.approx(expected, abs=5e-4)


def test_switched_weights_in_closed_form_and_their_switches() -> None:
    assert switched(45.0) == pytest.approx([-2.0 * math.exp(-1.0), -2.0 * math.exp(-5.0)])
    assert switched(135.0) == pytest.approx([-2.0, -math.exp(-5.0)])
    assert switched(17.9)[0] == 0.0 and switched(18.1)[0] < -0.4
    assert switched(72.1)[1] == 0.0 and switched(71.9)[1] == pytest.approx(-2.0 * math.exp(-10.0 * 71.9 / 90.0))
    assert switched(107.9)[1] == 0.0 and switched(108.1)[1] < 0.0
    assert switched(180.0, 60.1) == [0.0, 0.0]
