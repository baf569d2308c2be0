"""Tests of the four numbers of a relative pose: published vectors, both conventions, signs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bozzetto.math.cameras import spherical_position
from bozzetto.math.relative_pose import angle_between_deg, nearness, relative_pose

REFERENCE = (0.0, 5.0, 3.8)
CAMERAS = [
    # azimuth, elevation, distance -> polar difference (rad), sine, cosine, distance difference
    ((0.0, 5.0, 3.8), (0.0, 0.0, 1.0, 0.0)),
    ((30.0, 5.0, 3.8), (0.0, 0.5, math.sqrt(3) / 2, 0.0)),
    ((-30.0, 5.0, 3.8), (0.0, -0.5, math.sqrt(3) / 2, 0.0)),
    ((90.0, 5.0, 3.8), (0.0, 1.0, 0.0, 0.0)),
    ((-90.0, 5.0, 3.8), (0.0, -1.0, 0.0, 0.0)),
    ((180.0, 5.0, 3.8), (0.0, 0.0, -1.0, 0.0)),
    ((0.0, 35.0, 3.8), (-math.pi / 6, 0.0, 1.0, 0.0)),
    ((0.0, -25.0, 3.8), (math.pi / 6, 0.0, 1.0, 0.0)),
    ((45.0, 65.0, 4.3), (-math.pi / 3, math.sqrt(0.5), math.sqrt(0.5), 0.5)),
    ((270.0, 95.0 - 90.0, 3.3), (0.0, -1.0, 0.0, -0.5)),
]


@pytest.mark.parametrize(("camera", "expected"), CAMERAS)
def test_the_table(camera: tuple[float, ...], expected: tuple[float, ...]) -> None:
    pose = relative_pose(torch.tensor([camera]), torch.tensor([REFERENCE]))
    torch.testing.assert_close(pose, torch.tensor([expected]), rtol=0.0, atol=1e-5)


@pytest.mark.parametrize(("camera", "expected"), CAMERAS)
def test_the_other_convention_has_the_photos_polar_angle(
    camera: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    pose = relative_pose(torch.tensor([camera]), torch.tensor([REFERENCE]), "stable-zero123")
    torch.testing.assert_close(pose, torch.tensor([[*expected[:3], math.radians(85.0)]]), rtol=0.0, atol=1e-5)


def published(target: np.ndarray, condition: np.ndarray) -> list[float]:
    """Compute Zero-1-to-3's pose (sec. 3.2) from two camera positions, in spherical coordinates about z."""

    def polar(place: np.ndarray) -> tuple[float, float, float]:
        distance = float(np.sqrt((place**2).sum()))
        return math.acos(place[2] / distance), math.atan2(place[1], place[0]), distance

    theta, azimuth, distance = polar(target)
    theta_c, azimuth_c, distance_c = polar(condition)
    turned = (azimuth - azimuth_c) % (2 * math.pi)
    return [theta - theta_c, math.sin(turned), math.cos(turned), distance - distance_c]


def test_it_is_the_published_definition_for_any_two_cameras() -> None:
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor([-180.0, -80.0, 1.5]), torch.tensor([180.0, 80.0, 4.0])
    target, reference = (low + (high - low) * torch.rand(50, 3, generator=generator) for _ in range(2))
    places = [spherical_position(*cameras.unbind(1)).double().numpy() for cameras in (target, reference)]
    expected = torch.tensor([published(a, b) for a, b in zip(*places, strict=True)], dtype=torch.float32)
    torch.testing.assert_close(relative_pose(target, reference), expected, rtol=0.0, atol=1e-4)


def test_a_positive_sine_is_a_camera_further_toward_y() -> None:
    """The sign shared by training, guidance and inference: `spherical_position` and the pose increase together."""
    place = spherical_position(torch.tensor([10.0]), torch.tensor([0.0]), torch.tensor([3.0]))
    pose = relative_pose(torch.tensor([[10.0, 0.0, 3.0]]), torch.tensor([[0.0, 0.0, 3.0]]))
    assert place[0, 1] > 0.0 and pose[0, 1] > 0.0


def test_angles_are_exact_where_they_are_small() -> None:
    a = spherical_position(torch.tensor([0.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 30.0]), torch.full((3,), 2.0))
    b = spherical_position(torch.tensor([0.01, 180.0, 0.0]), torch.tensor([0.0, 0.0, -30.0]), torch.full((3,), 5.0))
    torch.testing.assert_close(angle_between_deg(a, b), torch.tensor([0.01, 180.0, 60.0]), rtol=1e-3, atol=1e-5)


def test_nearness_is_inverse_to_the_angle_and_sums_to_one() -> None:
    weights = nearness(torch.tensor([[10.0, 0.0], [30.0, 90.0]]))
    torch.testing.assert_close(weights[:, 0], torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(2))
    assert weights.isfinite().all()
