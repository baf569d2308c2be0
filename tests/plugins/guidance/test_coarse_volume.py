"""Tests that a volume fits images only if their cameras are correct."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bozzetto.testing.fakes import cameras_around
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.coarse_volume import least_errors

TURNS_DEG = [0.0, 90.0, 180.0, 270.0] * 2
RISES_DEG = torch.tensor([0.0] * 4 + [20.0] * 4)
TRUE_DEG = 20.0


def views(elevation_deg: float) -> Cameras:
    """Return two rings of cameras, the lower one at an elevation."""
    return cameras_around(TURNS_DEG, (elevation_deg + RISES_DEG).tolist(), 16)


@pytest.fixture
def pictures(photograph_balls: Callable[[Cameras], Tensor]) -> Tensor:
    return photograph_balls(views(TRUE_DEG))


def errors_at(pictures: Tensor, *elevations_deg: float) -> list[float]:
    cameras = [views(elevation_deg) for elevation_deg in elevations_deg]
    return least_errors(pictures, cameras, torch.Generator().manual_seed(0)).tolist()


def test_the_right_cameras_leave_least(pictures: Tensor) -> None:
    low, right, high = errors_at(pictures, TRUE_DEG - 30.0, TRUE_DEG, TRUE_DEG + 30.0)
    assert right < 0.5 * low and right < 0.5 * high


def test_the_right_volume_leaves_little(pictures: Tensor) -> None:
    """Compared with an empty volume."""
    assert errors_at(pictures, TRUE_DEG)[0] < 0.1 * (1.0 - pictures).square().mean()


def test_volumes_do_not_mind_each_other(pictures: Tensor) -> None:
    assert errors_at(pictures, TRUE_DEG, 50.0)[0] == pytest.approx(errors_at(pictures, TRUE_DEG)[0], rel=0.02)
