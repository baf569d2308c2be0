"""Tests of the volume rendering equation: closed forms. The loop reference is in tests/framework/kernels."""

from __future__ import annotations

import math

import pytest
import torch

from bozzetto.math.compositing import composite, ray_of_samples, render_weights


def test_a_uniform_medium_absorbs_exponentially() -> None:
    edges = torch.linspace(0, 2, 101)
    found = composite(torch.full((100,), 1.7), edges[:-1], edges[1:], torch.ones(100, 1), torch.tensor([0, 100]))
    assert found.opacity.item() == pytest.approx(1 - math.exp(-1.7 * 2), rel=1e-5)
    assert found.accumulated.item() == pytest.approx(found.opacity.item(), rel=1e-6)


def test_two_samples_by_hand() -> None:
    """Optical depths ln 2 and ln 4: the first sample absorbs half, the second three quarters of the rest."""
    density = torch.tensor([math.log(2), math.log(4) / 2])
    t_start, t_end = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])
    found = composite(density, t_start, t_end, torch.tensor([[10.0], [20.0]]), torch.tensor([0, 2]))
    torch.testing.assert_close(found.weights, torch.tensor([0.5, 0.375]))
    torch.testing.assert_close(found.accumulated, torch.tensor([[12.5]]))
    torch.testing.assert_close(found.opacity, torch.tensor([[0.875]]))
    torch.testing.assert_close(found.depth, torch.tensor([[0.5 * 1.5 + 0.375 * 3.0]]))


def test_rays_do_not_see_each_other() -> None:
    density, t_start = torch.tensor([50.0, 1.0, 1.0]), torch.zeros(3)
    weights = render_weights(density, t_start, t_start + 1, torch.tensor([0, 1, 1, 2, 3]))
    torch.testing.assert_close(weights, -torch.expm1(-density))


def test_ray_of_samples_counts_rays_without_samples() -> None:
    assert ray_of_samples(torch.tensor([0, 2, 2, 3]), 3).tolist() == [0, 0, 2]
