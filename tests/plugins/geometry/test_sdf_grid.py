"""Tests of the signed distance field: its contract, its sphere, its density, and the eikonal loss on it."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from bozzetto.math.density import volsdf_density
from bozzetto.math.meshes import eikonal
from bozzetto.testing.geometry import GeometryContract
from bozzetto_plugins.geometry.config import SdfGridConfig
from bozzetto_plugins.geometry.sdf_grid import SdfGrid

SMALL = SdfGridConfig(levels=4, log2_table_size=10, base_resolution=4, finest_resolution=32, hidden_width=16)


class TestSdfGrid(GeometryContract):
    def make(self) -> SdfGrid:
        return SdfGrid(SMALL)


class TestLarge(GeometryContract):
    def make(self) -> SdfGrid:
        changes = {"radius": 2.0, "sphere_radius": 1.0, "interpolation": "smoothstep", "feature_count": 5}
        return SdfGrid(dataclasses.replace(SMALL, **changes))


def test_it_starts_as_a_sphere_with_the_density_of_its_distance() -> None:
    grid = SdfGrid(SMALL)
    direction = torch.tensor([2.0, -3.0, 6.0]) / 7.0
    points = torch.tensor([0.2, 0.5, 0.7, 0.9])[:, None] * direction
    field = grid(points, normal=True)
    assert field.sdf is not None and field.density is not None and field.normal is not None
    torch.testing.assert_close(field.sdf, torch.tensor([-0.3, 0.0, 0.2, 0.4]), rtol=0, atol=1e-2)
    torch.testing.assert_close(field.density, volsdf_density(field.sdf, torch.tensor(0.1)))
    assert field.density[1].item() == pytest.approx(0.5 / 0.1, rel=0.1)
    torch.testing.assert_close(field.normal, direction.expand(4, 3), rtol=0, atol=0.1)


def test_the_thickness_never_falls_below_its_bound() -> None:
    grid = SdfGrid(SMALL)
    with torch.no_grad():
        grid.beta.fill_(0.0)
    assert grid.density(torch.zeros(1, 3)).item() == pytest.approx(1.0 / SMALL.least_beta, rel=1e-3)


def test_the_eikonal_loss_trains_the_distance() -> None:
    """The gradient of a gradient reaches table and network, and a step along it lowers the loss."""
    torch.manual_seed(0)
    grid = SdfGrid(SMALL)
    with torch.no_grad():
        grid.encoding.uniform_(-0.5, 0.5)
    points = (torch.rand(256, 3) * 1.8 - 0.9).requires_grad_()
    losses = []
    optimizer = torch.optim.Adam(grid.parameters(), lr=0.01)
    for _ in range(10):
        sdf = grid(points).sdf
        assert sdf is not None
        (gradient,) = torch.autograd.grad(sdf.sum(), points, create_graph=True)
        loss = eikonal(gradient)
        optimizer.zero_grad()
        loss.backward()
        assert grid.encoding.grad is not None and bool(grid.encoding.grad.any())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0] and all(map(math.isfinite, losses))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta": 0.005}, "^beta: must be above least_beta"),
        ({"beta": float("nan")}, "^beta: "),
        ({"sphere_radius": 1.0}, "^sphere_radius: must be below radius"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SdfGridConfig(**values)
