"""Tests of DDIM inversion: recurrences by hand, closed forms on Gaussian data, order of random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from bozzetto.math.ddim import Predict, ddim_variance, denoise
from bozzetto.math.guidance import cfg
from bozzetto.math.inversion import (
    Inverted,
    interval_timesteps,
    inversion_timesteps,
    invert,
    last_gap,
    noise_between,
)
from bozzetto.math.levels import Level, add_noise_at, variance_preserving, x0_at
from bozzetto.math.score import sds_gradient
from bozzetto.math.timesteps import level_weight
from bozzetto.testing.gaussian_prior import GaussianPrior

SD, M_C, M_U, X = 0.6, 1.5, -0.5, 2.3
PRIOR = GaussianPrior({"cond": M_C, "uncond": M_U}, SD)
CLEAN = Level(torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
LATENTS = torch.full((1, 1, 1, 1), X, dtype=torch.float64)


def at(alpha_bar: Tensor, *timesteps: int) -> Level:
    return variance_preserving(alpha_bar[torch.tensor(timesteps)])


def network(levels: Sequence[Level], mean: float) -> Predict:
    return lambda noisy, index: PRIOR.epsilon_of_mean(noisy, levels[index], mean)


def numbers(timesteps: list[Tensor]) -> list[list[int]]:
    return [timestep.tolist() for timestep in timesteps]


def test_timesteps_of_interval_score_matching() -> None:
    found = interval_timesteps(torch.tensor([450, 200]), torch.tensor([530, 280]), 200)
    assert numbers(found) == [[0, 0], [200, 200], [400, 200], [450, 200], [530, 280]]
    assert numbers(interval_timesteps(torch.tensor([0]), torch.tensor([80]), 200)) == [[0], [80]]


def test_timesteps_of_score_distillation_via_inversion() -> None:
    found = inversion_timesteps(torch.tensor([250, 100, 990]), torch.tensor([30, 0, 50]), 100, 1000)
    assert numbers(found)[:5] == [[-100] * 3, [0] * 3, [100, 100, 100], [200, 100, 200], [280, 100, 300]]
    assert numbers(found)[-2:] == [[280, 100, 900], [280, 100, 999]]
    with pytest.raises(ValueError, match="spacing counts timesteps"):
        inversion_timesteps(torch.tensor([250]), torch.tensor([0]), 0, 1000)


def test_the_last_gap_is_below_the_spacing_and_the_generators() -> None:
    first, again = (last_gap(200, 7, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert set(first.tolist()) == set(range(7))


def test_the_recurrence_is_a_loop_by_hand(sd_alpha_bar: Tensor) -> None:
    timesteps = [0, 200, 400, 450, 530]
    levels = [at(sd_alpha_bar, step) for step in timesteps]
    latents = torch.randn(1, 2, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noisy = latents
    for now, after in pairwise(timesteps):
        a, b = sd_alpha_bar[now].item(), sd_alpha_bar[after].item()
        epsilon = (1 - a) ** 0.5 * (noisy - a**0.5 * M_U) / (a * SD**2 + 1 - a)
        noisy = b**0.5 * (noisy - (1 - a) ** 0.5 * epsilon) / a**0.5 + (1 - b) ** 0.5 * epsilon
    found = invert(latents, levels, network(levels, M_U))
    torch.testing.assert_close(found.noisy, noisy, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.epsilon, epsilon, rtol=1e-6, atol=1e-6)


def test_small_steps_keep_the_whitened_latents(sd_alpha_bar: Tensor) -> None:
    exact = PRIOR.carry(LATENTS, CLEAN, at(sd_alpha_bar, 600), M_U)
    errors = []
    for spacing in (200, 100, 50, 10, 3):
        levels = [CLEAN, *(at(sd_alpha_bar, step) for step in range(0, 601, spacing))]
        errors.append((invert(LATENTS, levels, network(levels, M_U)).noisy - exact).abs().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.1 * exact.abs().item()
    assert errors[-1] < 0.01 * exact.abs().item()


def interval_gradient(alpha_bar: Tensor, latents: Tensor, levels: list[Level], scale: float) -> Tensor:
    """The gradient of interval score matching without its weight: the guided noise less the one of the last step."""
    found = invert(latents, levels, network(levels, M_U))
    cond, uncond = (PRIOR.epsilon(found.noisy, levels[-1], name) for name in ("cond", "uncond"))
    return cfg(cond, uncond, scale) - found.epsilon


def test_interval_score_matching_in_closed_form(sd_alpha_bar: Tensor) -> None:
    g, start, end = 7.5, at(sd_alpha_bar, 420), at(sd_alpha_bar, 500)
    d_s, d_t = (PRIOR.variance(level).item() for level in (start, end))
    a_s, s_s, a_t, s_t = (value.item() for value in (start.signal, start.noise, end.signal, end.noise))
    z = (X - M_U) / SD
    gradient = interval_gradient(sd_alpha_bar, PRIOR.carry(LATENTS, CLEAN, start, M_U), [start, end], g).item()
    apart = z * (a_s * a_t * SD**2 + s_s * s_t) / d_s**0.5
    assert gradient == pytest.approx(s_t * (apart - g * a_t * (M_C - M_U)) / d_t - z * s_s / d_s**0.5, abs=1e-6)
    smooth = g * s_t * a_t * (M_U - M_C) / d_t + z * (s_t / d_t**0.5 - s_s / d_s**0.5)
    assert gradient == pytest.approx(smooth, rel=0.01)


def test_interval_score_matching_vanishes_with_the_interval(sd_alpha_bar: Tensor) -> None:
    found = []
    for gap in (80, 8, 1):
        levels = [at(sd_alpha_bar, 420), at(sd_alpha_bar, 420 + gap)]
        latents = PRIOR.carry(LATENTS, CLEAN, levels[0], M_U)
        found.append(interval_gradient(sd_alpha_bar, latents, levels, 0.0).abs().item())
    assert found[2] / found[1] == pytest.approx(1 / 8, rel=0.05)
    assert found[1] < found[0] / 5


@pytest.mark.parametrize("inverse_scale", [-6.5, 7.5])
def test_score_distillation_via_inversion_in_closed_form(sd_alpha_bar: Tensor, inverse_scale: float) -> None:
    level = at(sd_alpha_bar, 500)
    m_i, m_g = (PRIOR.guided_mean(scale, "cond", "uncond") for scale in (inverse_scale, 7.5))
    noisy = PRIOR.carry(LATENTS, CLEAN, level, m_i)
    d, a = PRIOR.variance(level).item(), level.signal.item()
    guided = cfg(PRIOR.epsilon(noisy, level, "cond"), PRIOR.epsilon(noisy, level, "uncond"), 7.5)
    x0_hat = x0_at("epsilon", guided, noisy, level)
    expected = m_g + a**2 * SD**2 * (m_i - m_g) / d + a * SD * (X - m_i) / d**0.5
    assert x0_hat.item() == pytest.approx(expected, abs=1e-6)
    gradient = sds_gradient(guided, noise_between(LATENTS, noisy, level), level_weight("sigma-over-alpha", level))
    assert gradient.item() == pytest.approx(X - expected, abs=1e-6)


def full_flow(alpha_bar: Tensor, m_i: float, m_g: float, spacing: int) -> float:
    rising = [CLEAN, *(at(alpha_bar, step) for step in range(0, 301, spacing))]
    falling = rising[::-1]
    noisy = invert(LATENTS, rising, network(rising, m_i)).noisy
    return X - denoise(noisy, falling, network(falling, m_g)).item()


def test_the_target_of_the_full_flow_in_closed_form(sd_alpha_bar: Tensor) -> None:
    level = at(sd_alpha_bar, 300)
    m_i, m_g = (PRIOR.guided_mean(scale, "cond", "uncond") for scale in (-6.5, 7.5))
    shrink = (level.signal / PRIOR.variance(level).flatten().sqrt()).item() * SD
    assert full_flow(sd_alpha_bar, m_i, m_g, 1) == pytest.approx((m_i - m_g) * (1.0 - shrink), rel=0.005)
    apart = [abs(full_flow(sd_alpha_bar, m_g, m_g, spacing)) for spacing in (100, 20, 4)]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 0.02 * abs(X - m_g)


def pair(alpha_bar: Tensor, timesteps: list[Tensor], latents: Tensor) -> Inverted:
    levels = [variance_preserving(alpha_bar[timestep.clamp_min(0)]) for timestep in timesteps]
    return invert(latents, levels, network(levels, M_C))


def test_a_batch_of_two_is_two_singles(sd_alpha_bar: Tensor) -> None:
    latents = torch.randn(2, 2, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for make in (
        lambda rows: inversion_timesteps(torch.tensor([250, 730])[rows], torch.tensor([30, 7])[rows], 100, 1000),
        lambda rows: interval_timesteps(torch.tensor([250, 730])[rows], torch.tensor([330, 810])[rows], 200),
    ):
        both = pair(sd_alpha_bar, make(slice(0, 2)), latents)
        for row in range(2):
            alone = pair(sd_alpha_bar, make(slice(row, row + 1)), latents[row : row + 1])
            assert torch.equal(both.noisy[row : row + 1], alone.noisy)
            assert torch.equal(both.epsilon[row : row + 1], alone.epsilon)


def test_eta_adds_the_noise_of_the_step_back(sd_alpha_bar: Tensor) -> None:
    levels = [at(sd_alpha_bar, 100), at(sd_alpha_bar, 200), at(sd_alpha_bar, 200)]
    generator, same = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    plain = invert(LATENTS, levels, network(levels, M_U), 0.0, generator)
    assert torch.equal(generator.get_state(), same.get_state())
    noisy = invert(LATENTS, levels, network(levels, M_U), 0.3, generator).noisy
    first = torch.randn(1, 1, 1, 1, generator=same, dtype=torch.float64)
    extra = 0.3 * ddim_variance(levels[1], levels[0]).sqrt() * first
    torch.testing.assert_close(noisy, plain.noisy + extra, rtol=1e-12, atol=1e-12)
    torch.randn(1, 1, 1, 1, generator=same, dtype=torch.float64)
    assert torch.equal(generator.get_state(), same.get_state())


def test_the_noise_between_leads_back() -> None:
    level = variance_preserving(torch.tensor([0.3], dtype=torch.float64))
    noisy = LATENTS + 1.0
    torch.testing.assert_close(add_noise_at(LATENTS, noise_between(LATENTS, noisy, level), level), noisy)


def test_one_level_is_no_inversion() -> None:
    with pytest.raises(ValueError, match="two levels at least, got 1"):
        invert(LATENTS, [CLEAN], network([CLEAN], M_U))
