"""Tests of variational score distillation, on Gaussian data."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.math.guidance import cfg
from bozzetto.math.levels import add_noise_at, rectified_flow, target_at, variance_preserving
from bozzetto.math.particle_score import adapter_loss, particle_gradient
from bozzetto.math.score import sds_gradient
from bozzetto.math.timesteps import level_weight
from bozzetto.testing.gaussian_prior import GaussianPrior

SD, X, SCALE = 0.6, 2.3, 7.5
PRIOR = GaussianPrior({"cond": 1.5, "uncond": -0.5}, SD)
LEVEL = variance_preserving(torch.tensor([0.9, 0.3, 0.02], dtype=torch.float64))
WEIGHT = level_weight("one-minus-alpha-bar", LEVEL)
LATENTS = torch.full((3, 1, 2, 2), X, dtype=torch.float64)


def noise(seed: int) -> Tensor:
    return torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(spread: float, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of VSD with particles of N(X, spread^2), and of SDS."""
    noisy = add_noise_at(LATENTS, epsilon, LEVEL)
    guided = cfg(PRIOR.epsilon(noisy, LEVEL, "cond"), PRIOR.epsilon(noisy, LEVEL, "uncond"), SCALE)
    adapter = GaussianPrior({"particles": X}, spread).epsilon(noisy, LEVEL, "particles")
    found = particle_gradient(guided, "epsilon", adapter, noisy, LEVEL, WEIGHT)
    return found, sds_gradient(guided, epsilon, WEIGHT)


def test_a_single_particle_is_score_distillation_sampling() -> None:
    found, sds = gradients(0.0, noise(0))
    torch.testing.assert_close(found, sds, rtol=1e-6, atol=1e-6)


def test_particles_as_wide_as_the_data_have_its_mean_gradient_and_no_variance() -> None:
    mean = PRIOR.guided_mean(SCALE, "cond", "uncond")
    per_view = (WEIGHT * LEVEL.signal * LEVEL.noise)[:, None, None, None]
    expected = (per_view * (X - mean) / PRIOR.variance(LEVEL)).expand_as(LATENTS)
    for seed in (0, 1):
        torch.testing.assert_close(gradients(SD, noise(seed))[0], expected, rtol=1e-6, atol=1e-6)


def test_an_untrained_adapter_leaves_the_classifier_score() -> None:
    noisy = add_noise_at(LATENTS, noise(0), LEVEL)
    cond, uncond = (PRIOR.epsilon(noisy, LEVEL, name) for name in ("cond", "uncond"))
    found = particle_gradient(cfg(cond, uncond, SCALE), "epsilon", cond, noisy, LEVEL, WEIGHT)
    expected = WEIGHT[:, None, None, None] * (SCALE - 1.0) * (cond - uncond)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("output", ["epsilon", "v"])
def test_a_perfect_adapter_gives_back_the_noise(output: str) -> None:
    epsilon = noise(0)
    value = target_at(output, LATENTS, epsilon, LEVEL)
    noisy = add_noise_at(LATENTS, epsilon, LEVEL)
    assert adapter_loss(output, value, LATENTS, epsilon, LEVEL).item() == 0.0
    found = particle_gradient(noise(1), output, value, noisy, LEVEL, WEIGHT)
    torch.testing.assert_close(found, sds_gradient(noise(1), epsilon, WEIGHT), rtol=1e-6, atol=1e-6)


def test_the_loss_is_the_mean_square_by_hand() -> None:
    epsilon, value = noise(0), noise(1)
    signal, spread = LEVEL.signal[:, None, None, None], LEVEL.noise[:, None, None, None]
    by_noise = (value - epsilon).square().mean()
    by_v = (value - (signal * epsilon - spread * LATENTS)).square().mean()
    torch.testing.assert_close(adapter_loss("epsilon", value, LATENTS, epsilon, LEVEL), by_noise)
    torch.testing.assert_close(adapter_loss("v", value, LATENTS, epsilon, LEVEL), by_v)
    flow = rectified_flow(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    by_flow = (value - epsilon + LATENTS).square().mean()
    torch.testing.assert_close(adapter_loss("flow", value, LATENTS, epsilon, flow), by_flow)


def test_the_loss_trains_the_adapter_and_the_score_does_not() -> None:
    latents, value = LATENTS.clone().requires_grad_(), noise(1).requires_grad_()
    adapter_loss("v", value, latents, noise(0), LEVEL).backward()
    assert latents.grad is None
    assert bool(value.grad.abs().sum() > 0)
    assert not particle_gradient(noise(2), "v", value, LATENTS, LEVEL, WEIGHT).requires_grad
