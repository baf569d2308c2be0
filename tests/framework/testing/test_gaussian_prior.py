"""Tests of the exact network of Gaussian data: closed forms of score distillation, for diffusion and flow."""

from __future__ import annotations

import pytest
import torch

from bozzetto.math.guidance import cfg
from bozzetto.math.levels import Level, add_noise_at, epsilon_at, rectified_flow, variance_preserving, x0_at
from bozzetto.math.posterior import gaussian_posterior_mean
from bozzetto.math.score import sds_gradient
from bozzetto.math.timesteps import level_weight
from bozzetto.testing.gaussian_prior import GaussianPrior

SD = 0.6
PRIOR = GaussianPrior({"cond": 1.5, "uncond": -0.5}, SD)
VALUES = torch.tensor([0.9, 0.3, 0.02], dtype=torch.float64)
VP = variance_preserving(VALUES)


def noise(seed: int, count: int = 3) -> torch.Tensor:
    return torch.randn(count, 2, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(value: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(value, expected.expand_as(value), rtol=1e-6, atol=1e-6)


def test_the_network_is_the_posterior_mean() -> None:
    noisy = noise(0)
    mean, deviation = torch.full_like(noisy, 1.5), torch.full((3,), SD, dtype=torch.float64)
    expected = gaussian_posterior_mean(noisy, mean, deviation, VALUES)
    close(x0_at("epsilon", PRIOR.epsilon(noisy, VP, "cond"), noisy, VP), expected)


def test_no_other_affine_network_has_a_smaller_error() -> None:
    level = variance_preserving(torch.full((200_000,), 0.3, dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    x0, epsilon = (torch.randn(200_000, 1, 1, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    x0 = 1.5 + SD * x0
    noisy = add_noise_at(x0, epsilon, level)
    residual = PRIOR.epsilon(noisy, level, "cond") - epsilon
    assert abs(residual.mean().item()) < 0.01
    assert abs((residual * noisy).mean().item()) < 0.01


def test_guidance_is_a_third_mean() -> None:
    noisy = noise(0)
    guided = cfg(PRIOR.epsilon(noisy, VP, "cond"), PRIOR.epsilon(noisy, VP, "uncond"), 7.5)
    close(guided, PRIOR.epsilon_of_mean(noisy, VP, PRIOR.guided_mean(7.5, "cond", "uncond")))


@pytest.mark.parametrize("level", [VP, rectified_flow(VALUES)])
def test_score_distillation_sampling_in_closed_form(level: Level) -> None:
    weight = level_weight("one-minus-alpha-bar", level)
    x, mean = noise(1), PRIOR.guided_mean(100.0, "cond", "uncond")
    signal, spread, per_view = (value[:, None, None, None] for value in (level.signal, level.noise, weight))

    def gradient(epsilon: torch.Tensor) -> torch.Tensor:
        noisy = add_noise_at(x, epsilon, level)
        guided = cfg(PRIOR.epsilon(noisy, level, "cond"), PRIOR.epsilon(noisy, level, "uncond"), 100.0)
        return sds_gradient(guided, epsilon, weight)

    still, moved = gradient(torch.zeros_like(x)), gradient(torch.ones_like(x))
    close(still, per_view * spread * signal * (x - mean) / PRIOR.variance(level))
    close(moved - still, -per_view * (signal * SD).square() / PRIOR.variance(level))


def test_a_flow_equals_the_diffusion_at_its_alpha_bar() -> None:
    level = rectified_flow(VALUES)
    x, epsilon = noise(1), noise(2)
    noisy = add_noise_at(x, epsilon, level)
    velocity = PRIOR.predict("flow", noisy, level, "cond")
    difference = (1.0 - VALUES)[:, None, None, None] * (velocity - (epsilon - x))
    equivalent = variance_preserving(level.alpha_bar)
    scaled = noisy / (level.signal.square() + level.noise.square()).sqrt()[:, None, None, None]
    close(scaled, add_noise_at(x, epsilon, equivalent))
    close(difference, PRIOR.epsilon(scaled, equivalent, "cond") - epsilon)


def test_the_models_own_noise_is_the_reverse_noise_of_a_flow() -> None:
    level = rectified_flow(VALUES)
    x, epsilon = noise(1), noise(2)
    noisy = add_noise_at(x, epsilon, level)
    velocity = PRIOR.predict("flow", noisy, level, "cond")
    reverse = epsilon + (1.0 - VALUES)[:, None, None, None] * (velocity + x - epsilon)
    close(reverse, epsilon_at("flow", velocity, noisy, level))


@pytest.mark.parametrize("output", ["epsilon", "v", "x0"])
def test_every_output_is_one_prediction(output: str) -> None:
    noisy = noise(0)
    value = PRIOR.predict(output, noisy, VP, "cond")
    close(epsilon_at(output, value, noisy, VP), PRIOR.epsilon(noisy, VP, "cond"))


def test_paths_keep_whitened_latents_and_lead_back() -> None:
    x, clean = noise(1), Level(torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    there = PRIOR.carry(x, clean, VP, 1.5)
    whitened = (there - VP.signal[:, None, None, None] * 1.5) / PRIOR.variance(VP).sqrt()
    close(whitened, (x - 1.5) / SD)
    close(PRIOR.carry(there, VP, clean, 1.5), x)
    back = PRIOR.carry(there, VP, clean, 3.0)
    shrink = SD * VP.signal[:, None, None, None] / PRIOR.variance(VP).sqrt()
    close(x - back, (1.5 - 3.0) * (1.0 - shrink))


def test_a_step_of_a_path_is_its_velocity() -> None:
    """The noise that the network predicts moves latents along the path, to first order in the level."""
    alpha_bar = torch.full((3,), 0.5, dtype=torch.float64)
    level, near = variance_preserving(alpha_bar), variance_preserving(alpha_bar - 1e-5)
    noisy = noise(0)
    epsilon = PRIOR.epsilon(noisy, level, "cond")
    stepped = add_noise_at(x0_at("epsilon", epsilon, noisy, level), epsilon, near)
    torch.testing.assert_close(stepped, PRIOR.carry(noisy, level, near, 1.5), rtol=0.0, atol=1e-8)


def test_an_unknown_condition_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        PRIOR.epsilon(noise(0), VP, "nothing")
