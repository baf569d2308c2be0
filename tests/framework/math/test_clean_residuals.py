"""Tests of scores as differences of clean latents and images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.math.clean_residuals import image_gradient, latent_residual, perturbed_score
from bozzetto.math.levels import Level, add_noise_at, rectified_flow, variance_preserving, x0_at
from bozzetto.math.score import sds_gradient
from bozzetto.math.timesteps import level_weight

VALUES = torch.tensor([0.9, 0.3], dtype=torch.float64)
LEVELS = [variance_preserving(VALUES), rectified_flow(VALUES)]


def draw(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 2, 2, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("level", LEVELS)
def test_score_jacobian_chaining_is_score_distillation_of_weight_one(level: Level) -> None:
    x0, epsilon, predicted = draw(3)
    noisy = add_noise_at(x0, epsilon, level)
    x0_hat = x0_at("epsilon", predicted, noisy, level)
    expected = sds_gradient(predicted, epsilon, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(latent_residual(x0, x0_hat, level), expected, rtol=1e-6, atol=1e-6)
    scaled = -level.sigma[:, None, None, None] * perturbed_score(x0_hat, noisy, level)
    torch.testing.assert_close(scaled, predicted, rtol=1e-6, atol=1e-6)


def test_the_image_term_is_the_gradient_of_a_squared_distance() -> None:
    image, decoded = draw(2)
    level = LEVELS[0]
    image.requires_grad_()
    (0.5 * (image - decoded).square().sum()).backward()
    weight = level_weight("sigma-over-alpha", level)
    torch.testing.assert_close(image_gradient(image.detach(), decoded, level, weight), image.grad)


def test_the_image_term_is_per_view_and_leaves_the_decoder_alone() -> None:
    image, decoded = draw(2)
    level, weight = LEVELS[1], torch.tensor([0.5, 2.0], dtype=torch.float64)
    both = image_gradient(image, decoded.requires_grad_(), level, weight)
    own = Level(level.signal[1:], level.noise[1:])
    assert torch.equal(both[1:], image_gradient(image[1:], decoded[1:], own, weight[1:]))
    torch.testing.assert_close(both[1], (2.0 * 0.7 / 0.3 * (image - decoded))[1])
    assert not both.requires_grad
