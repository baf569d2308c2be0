"""Tests of the density grid and the automatic threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bozzetto.testing.scenes import SoftSphere
from bozzetto_plugins.exporter.density_grid import DensityGrid, grid_index, sample_density, silhouette_threshold

SIZE = 41
AXIS = np.linspace(-1.0, 1.0, SIZE)
RADIUS = np.sqrt(AXIS[:, None, None] ** 2 + AXIS[None, :, None] ** 2 + AXIS[None, None, :] ** 2)


def silhouette_radius(density: np.ndarray) -> float:
    """Return the radius of the ball extracted at the chosen threshold from a radially decreasing field."""
    threshold = silhouette_threshold(DensityGrid(density, 1.0))
    return float(RADIUS[density >= threshold].max())


def visible_radius(density: np.ndarray) -> float:
    """Return the distance from the axis at which a ray along z absorbs half of the maximum."""
    opacity = 1.0 - np.exp(-density.sum(2) * (2.0 / (SIZE - 1)))
    return float(RADIUS[:, :, SIZE // 2][opacity >= 0.5 * opacity.max()].max())


def test_grid_positions_run_with_z_fastest() -> None:
    index = grid_index(torch.arange(27), 3)
    assert index[:4].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0]]
    assert index[-1].tolist() == [2, 2, 2]


def test_the_grid_is_the_field_at_its_points_in_chunks_or_whole() -> None:
    ball = SoftSphere(radius=0.8, softness=0.05)
    whole = sample_density(ball, 9, 729, torch.device("cpu"))
    torch.testing.assert_close(
        torch.from_numpy(whole.density), torch.from_numpy(sample_density(ball, 9, 10, torch.device("cpu")).density)
    )
    assert whole.cell == pytest.approx(0.2)
    point = torch.tensor([[-0.8 + 0.2 * 2, -0.8 + 0.2 * 3, -0.8 + 0.2 * 5]])
    assert whole.density[2, 3, 5] == pytest.approx(ball.density(point).item(), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "density"),
    [
        ("hard exponential", np.exp(np.clip((0.5 - RADIUS) / 0.02, -20.0, 8.0))),
        ("soft exponential", np.exp(2.0 + (0.5 - RADIUS) / 0.15)),
        ("softplus", np.log1p(np.exp(20.0 * (0.5 - RADIUS)))),
        ("a blob at the start of training", 10.0 * np.clip(1.0 - RADIUS / 0.5, 0.0, None)),
        ("translucent", 0.3 * (RADIUS < 0.6)),
        ("in thin fog", 50.0 * (RADIUS < 0.5) + 0.05),
        ("opaque, with a spot a million times as dense", 50.0 * (RADIUS < 0.5) + 5e7 * (RADIUS < 0.1)),
    ],
)
def test_the_threshold_keeps_what_is_visible(name: str, density: np.ndarray) -> None:
    assert silhouette_radius(density) == pytest.approx(visible_radius(density), abs=0.08), name


def test_the_threshold_scales_with_the_density_of_an_opaque_field() -> None:
    thin = np.clip(1.0 - RADIUS / 0.5, 0.0, None)
    assert math.isclose(
        silhouette_threshold(DensityGrid(thin * 1e-3, 1e3)), 1e-3 * silhouette_threshold(DensityGrid(thin, 1.0))
    )


def test_points_are_numbered_a_chunk_at_a_time() -> None:
    class Counting(SoftSphere):
        largest = 0

        def density(self, points: torch.Tensor) -> torch.Tensor:
            self.largest = max(self.largest, len(points))
            return super().density(points)

    tracked, asked = Counting(), []
    arange = torch.arange
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "arange", lambda *a, **k: asked.append(arange(*a, **k)) or asked[-1])
        sample_density(tracked, 20, 1000, torch.device("cpu"))
    assert tracked.largest == 1000 and max(len(numbers) for numbers in asked) == 1000
