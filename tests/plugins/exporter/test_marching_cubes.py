"""Tests of marching cubes: outward faces, exact positions, closed at the border."""

from __future__ import annotations

import math

import pytest
import torch

from bozzetto.errors import ExportError
from bozzetto.testing.scenes import SoftSphere
from bozzetto_plugins.exporter import marching_cubes as module
from bozzetto_plugins.exporter.density_grid import sample_density
from bozzetto_plugins.exporter.marching_cubes import extract_surface
from bozzetto_plugins.exporter.surface import is_watertight, signed_volume, vertex_normals


@pytest.mark.parametrize("softness", [0.001, 0.05])
def test_a_ball_becomes_a_ball_whatever_its_softness(softness: float) -> None:
    ball = SoftSphere(softness=softness).requires_grad_(False)
    mesh = extract_surface(sample_density(ball, 25, 5000, torch.device("cpu")), 100.0, ball.density)
    radius = mesh.vertices.norm(dim=-1)
    # Half of the density is at the ball's radius; the search stops within 1/64 of a cell of 2/24.
    on_edges = (radius - 0.5).abs() < 2.0 / 24.0 / 64.0
    assert on_edges.float().mean() > 0.98, "all but the rare vertices inside cells"
    assert signed_volume(mesh) == pytest.approx(4.0 / 3.0 * math.pi * 0.5**3, rel=0.02)
    assert is_watertight(mesh)
    outward = torch.nn.functional.normalize(mesh.vertices, dim=-1)
    assert (vertex_normals(mesh) * outward).sum(-1).min() > 0.8


def test_axes_are_not_swapped() -> None:
    class Slab(SoftSphere):
        def density(self, points: torch.Tensor) -> torch.Tensor:
            half = torch.tensor([0.3, 0.5, 0.7])
            return 10.0 * torch.sigmoid(((half - points.abs()) / 0.02).amin(-1))

    slab = Slab()
    mesh = extract_surface(sample_density(slab, 24, 5000, torch.device("cpu")), 5.0, slab.density)
    torch.testing.assert_close(mesh.vertices.amax(0), torch.tensor([0.3, 0.5, 0.7]), atol=2e-3, rtol=0.0)
    torch.testing.assert_close(mesh.vertices.amin(0), -torch.tensor([0.3, 0.5, 0.7]), atol=2e-3, rtol=0.0)


def test_what_touches_the_border_is_closed_just_outside() -> None:
    big = SoftSphere(sphere_radius=1.2, softness=0.02).requires_grad_(False)
    grid = sample_density(big, 16, 5000, torch.device("cpu"))
    mesh = extract_surface(grid, 100.0, big.density)
    assert is_watertight(mesh) and signed_volume(mesh) > 0.0
    assert 1.0 <= mesh.vertices.abs().max() <= 1.0 + grid.cell


@pytest.mark.parametrize("points", [2 * 27**2, 5 * 27**2, 26 * 27**2])
def test_slabs_join_to_the_same_surface(monkeypatch: pytest.MonkeyPatch, points: int) -> None:
    ball = SoftSphere(sphere_radius=0.47, softness=0.05).requires_grad_(False)
    grid = sample_density(ball, 25, 5000, torch.device("cpu"))
    whole = extract_surface(grid, 100.0, ball.density)
    monkeypatch.setattr(module, "SLAB_POINTS", points)
    slabs = extract_surface(grid, 100.0, ball.density)
    assert len(slabs.vertices) == len(whole.vertices) and is_watertight(slabs)
    triangles = [sorted(map(str, mesh.vertices[mesh.faces].sum(1).tolist())) for mesh in (whole, slabs)]
    assert triangles[0] == triangles[1]


def test_a_field_that_never_crosses_has_no_surface() -> None:
    ball = SoftSphere(softness=0.05).requires_grad_(False)
    grid = sample_density(ball, 9, 5000, torch.device("cpu"))
    with pytest.raises(ExportError, match="There is no surface"):
        extract_surface(grid, 1e9, ball.density)
