"""Tests of noise that is read through windows on a map: its law, its motion with the camera, its refresh."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bozzetto.math.world_map import blend_at, map_size, read_windows

SIZE = 32
"""Side of a window."""


def cells(channels: int, window_deg: float = 180.0, seed: int = 0, size: int = SIZE) -> Tensor:
    return torch.randn(
        channels, *map_size(size, size, window_deg), generator=torch.Generator().manual_seed(seed)
    )  # fmt: skip


def windows(made: Tensor, *angles: tuple[float, float], size: int = SIZE) -> Tensor:
    azimuth, elevation = torch.tensor(angles).T
    return read_windows(made, azimuth, elevation, size, size)


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_the_size_follows_from_the_window() -> None:
    """At 40 degrees, 9 windows around; from pole to pole 4.5, and one more so that each window is whole."""
    assert map_size(64, 64, 40.0) == (64 + 288, 576)
    assert map_size(64, 32, 180.0) == (128, 64)
    assert map_size(10, 10, 360.0) == (15, 10)


@pytest.mark.parametrize("window_deg", [45.0, 180.0, 360.0])
def test_each_pixel_reads_a_cell_of_its_own(window_deg: float) -> None:
    rows, columns = map_size(SIZE, SIZE, window_deg)
    numbers = torch.arange(float(rows * columns)).view(1, rows, columns)
    read = windows(numbers, (0.0, 90.0), (359.9, -90.0), (-180.0, 3.0))
    assert all(len(view.unique()) == SIZE * SIZE for view in read)
    assert read[0, 0, 0, 0] == 0.0, "straight above: the top of the map"
    assert read[1, 0, -1, 0] == numbers[0, -1, 0], "straight below: its bottom"


def test_a_view_is_white_noise() -> None:
    """Kolmogorov-Smirnov at the level of 1 % for 131072 values, and no correlation of neighbours."""
    noise = windows(cells(128), (73.0, 20.0))[0]
    found = noise.flatten().sort().values.double()
    expected = torch.special.ndtr(found)
    steps = torch.arange(len(found) + 1) / len(found)
    distance = torch.maximum((steps[1:] - expected).abs().max(), (expected - steps[:-1]).abs().max())
    assert len(found) > 1e5 and float(distance) < 1.63 / math.sqrt(len(found))
    assert abs(correlation(noise[:, :, 1:], noise[:, :, :-1])) < 0.015
    assert abs(correlation(noise[:, 1:], noise[:, :-1])) < 0.015


def test_the_same_angles_give_the_same_noise_and_a_turn_changes_nothing() -> None:
    one, again, turned = windows(cells(4), (30.0, 10.0), (30.0, 10.0), (390.0, 10.0))
    assert torch.equal(one, again) and torch.equal(one, turned)


def test_what_two_windows_share_is_equal_and_the_rest_independent() -> None:
    made = cells(64)
    front, near, far = windows(made, (0.0, 0.0), (45.0, 0.0), (180.0, 0.0))
    shift = SIZE // 4  # 45 of the 180 degrees of a window
    assert correlation(front[..., shift:], near[..., :-shift]) > 0.9
    assert abs(correlation(front, far)) < 0.05, "back and front have no cell in common"
    assert abs(correlation(front, near)) < 0.05, "the shared noise has moved"


def test_noise_moves_as_the_front_of_the_object_does() -> None:
    """To the left as the camera goes to its right, down as it rises; at the seam and the horizon as elsewhere."""
    made = cells(2)
    step = 180.0 / SIZE
    for azimuth, elevation in ((0.0, 0.0), (-step, 0.0), (180.0 - step, 45.0)):
        here, right, above = windows(
            made, (azimuth, elevation), (azimuth + step, elevation), (azimuth, elevation + step)
        )  # fmt: skip
        assert torch.equal(right[..., :-1], here[..., 1:])
        assert torch.equal(above[..., 1:, :], here[..., :-1, :])


def test_a_map_smaller_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="a map of 8 x 8 cells is smaller than a window of 32 x 32"):
        windows(torch.zeros(1, 8, 8), (0.0, 0.0))


def blended(step: int, refresh_steps: int, channels: int = 64) -> Tensor:
    blend = blend_at(step, refresh_steps)
    return blend.now * cells(channels, seed=blend.epoch) + blend.next * cells(channels, seed=blend.epoch + 1)


@pytest.mark.parametrize("start", [0, 30, 100, 260])
@pytest.mark.parametrize("apart", [0, 10, 50, 70])
def test_refreshed_noise_has_the_correlation_of_the_formula(start: int, apart: int) -> None:
    one, other = blended(start, 100), blended(start + apart, 100)
    assert abs(float(one.std()) - 1.0) < 0.02 and abs(float(other.std()) - 1.0) < 0.02
    if start % 100 + apart < 100:
        expected = math.cos(math.pi * apart / 200)
    else:  # of the next epoch: they have one map in common
        angles = [0.5 * math.pi * (step % 100) / 100 for step in (start, start + apart)]
        expected = math.sin(angles[0]) * math.cos(angles[1])
    assert abs(correlation(one, other) - expected) < 0.01


def test_refreshed_noise_is_continuous_and_forgets() -> None:
    assert correlation(blended(99, 100), blended(100, 100)) > 0.999
    assert abs(correlation(blended(10, 100), blended(200, 100))) < 0.01
    assert abs(correlation(blended(4, 1), blended(5, 1))) < 0.01, "as in SDS, each step has its own"
    assert torch.equal(blended(0, 0), blended(10**6, 0))
