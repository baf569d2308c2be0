"""Tests of noise levels: bit-equal to abar where it exists, exact for flows."""

from __future__ import annotations

import typing

import pytest
import torch
from torch import Tensor

from bozzetto.math import score
from bozzetto.math.levels import (
    Level,
    Output,
    add_noise_at,
    epsilon_at,
    rectified_flow,
    same_level,
    target_at,
    variance_preserving,
    x0_at,
)
from bozzetto.math.timesteps import level_weight, timestep_weight

ALPHA_BAR = torch.tensor([0.9991, 0.7, 0.0047])
SIGMA = torch.tensor([0.05, 0.5, 0.9])


def draw(count: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 4, 2, 2, generator=generator, dtype=dtype) for _ in range(count)]


def close(value: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_variance_preserving_levels_change_no_bit(dtype: torch.dtype) -> None:
    x0, epsilon, value = draw(3, dtype)
    alpha_bar = ALPHA_BAR.to(dtype)
    level = variance_preserving(alpha_bar)
    noisy = score.add_noise(x0, epsilon, alpha_bar)
    assert torch.equal(level.alpha_bar, alpha_bar)
    assert torch.equal(add_noise_at(x0, epsilon, level), noisy)
    assert torch.equal(epsilon_at("v", value, noisy, level), score.epsilon_from_v(value, noisy, alpha_bar))
    assert torch.equal(x0_at("v", value, noisy, level), score.x0_from_v(value, noisy, alpha_bar))
    assert torch.equal(x0_at("epsilon", value, noisy, level), score.x0_from_epsilon(value, noisy, alpha_bar))
    assert torch.equal(target_at("v", x0, epsilon, level), score.v_from_epsilon(x0, epsilon, alpha_bar))
    assert torch.equal(epsilon_at("epsilon", value, noisy, level), value)


@pytest.mark.parametrize("weighting", ["one-minus-alpha-bar", "uniform", "fantasia3d"])
def test_weights_of_a_level_change_no_bit(weighting: str) -> None:
    assert torch.equal(level_weight(weighting, variance_preserving(ALPHA_BAR)), timestep_weight(weighting, ALPHA_BAR))


@pytest.mark.parametrize("output", typing.get_args(Output))
@pytest.mark.parametrize("make", [variance_preserving, rectified_flow])
def test_a_perfect_prediction_gives_back_noise_and_latents(output: str, make: typing.Any) -> None:
    x0, epsilon = draw(2, torch.float64)
    level = make(SIGMA.double())
    if output == "v" and make is rectified_flow:
        for convert in (epsilon_at, x0_at, target_at):
            with pytest.raises(ValueError, match="variance-preserving levels only"):
                convert(output, x0, epsilon, level)
        return
    value, noisy = target_at(output, x0, epsilon, level), add_noise_at(x0, epsilon, level)
    close(epsilon_at(output, value, noisy, level), epsilon)
    close(x0_at(output, value, noisy, level), x0)


def test_a_flow_interpolates_and_its_velocity_is_the_difference() -> None:
    x0, epsilon, wrong = draw(3, torch.float64)
    q = SIGMA.double()
    level, per_view = rectified_flow(q), q[:, None, None, None]
    noisy = add_noise_at(x0, epsilon, level)
    close(noisy, (1.0 - per_view) * x0 + per_view * epsilon)
    off = wrong - (epsilon - x0)
    close(epsilon_at("flow", wrong, noisy, level) - epsilon, (1.0 - per_view) * off)
    close(x0 - x0_at("flow", wrong, noisy, level), per_view * off)


def test_a_flow_has_the_alpha_bar_of_its_scaled_latents() -> None:
    level = rectified_flow(torch.tensor([0.0, 0.2, 1.0], dtype=torch.float64))
    close(level.alpha_bar, torch.tensor([1.0, 0.64 / 0.68, 0.0], dtype=torch.float64))
    equivalent = variance_preserving(level.alpha_bar)
    close(equivalent.sigma[:2], level.sigma[:2])


def test_guidance_commutes_with_every_conversion() -> None:
    cond, uncond, noisy = draw(3, torch.float64)
    for output, level in (("v", variance_preserving(SIGMA.double())), ("flow", rectified_flow(SIGMA.double()))):
        for convert in (epsilon_at, x0_at):
            first, second = (convert(output, value, noisy, level) for value in (cond, uncond))
            close(convert(output, uncond + 7.5 * (cond - uncond), noisy, level), second + 7.5 * (first - second))


def test_sigma_over_alpha_on_the_schedule_of_stable_diffusion(sd_alpha_bar: Tensor) -> None:
    timestep = torch.tensor([20, 80, 200, 300, 500, 700, 800, 900, 980])
    weight = level_weight("sigma-over-alpha", variance_preserving(sd_alpha_bar[timestep]))
    expected = torch.tensor([0.138, 0.298, 0.572, 0.833, 1.618, 3.33, 5.11, 8.35, 13.04], dtype=torch.float64)
    torch.testing.assert_close(weight, expected, rtol=3e-3, atol=0.0)


def test_sigma_over_alpha_is_a_distance_of_clean_latents() -> None:
    x0, epsilon, predicted = draw(3, torch.float64)
    for level in (variance_preserving(SIGMA.double()), rectified_flow(SIGMA.double())):
        noisy = add_noise_at(x0, epsilon, level)
        gradient = score.sds_gradient(predicted, epsilon, level_weight("sigma-over-alpha", level))
        close(x0 - x0_at("epsilon", predicted, noisy, level), gradient)


def test_rows_of_equal_levels() -> None:
    one, other = Level(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.5])), rectified_flow(torch.tensor([0.0, 0.4]))
    assert same_level(one, other).tolist() == [True, False]
