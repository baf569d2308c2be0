"""Tests of DDIM steps and of denoising in several steps, against diffusers, hand loops and Gaussian data."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from bozzetto.math.ddim import ddim_step, ddim_variance, denoise, fresh_noise
from bozzetto.math.levels import Level, add_noise_at, rectified_flow, variance_preserving, x0_at
from bozzetto.math.view_draws import share_generator
from bozzetto.testing.gaussian_prior import GaussianPrior

PRIOR = GaussianPrior({"cond": 2.0}, 0.7)


def draw(seed: int = 0, batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def levels_at(alpha_bar: Tensor, *timesteps: list[int]) -> list[Level]:
    return [variance_preserving(alpha_bar[torch.tensor(timestep)]) for timestep in timesteps]


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_a_step_is_that_of_diffusers(sd_alpha_bar: Tensor, eta: float) -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    scheduler.set_timesteps(10)
    noisy, epsilon, fresh = draw(0), draw(1), draw(2)
    level, after = levels_at(sd_alpha_bar, [501, 501], [401, 401])
    expected = scheduler.step(epsilon, 501, noisy, eta=eta, variance_noise=fresh).prev_sample
    stepped = ddim_step(noisy, epsilon, level, after, eta, fresh)
    torch.testing.assert_close(stepped, expected, rtol=1e-5, atol=1e-5)


def test_the_variance_is_that_of_the_posterior() -> None:
    level = variance_preserving(torch.tensor([0.3], dtype=torch.float64))
    after = variance_preserving(torch.tensor([0.6], dtype=torch.float64))
    assert ddim_variance(level, after).item() == pytest.approx((0.4 / 0.7) * (1.0 - 0.3 / 0.6), abs=1e-12)


def test_a_stochastic_step_keeps_the_distribution_of_flows_too() -> None:
    """With the true noise, the variance given x0 is s'^2 at every eta."""
    level, after = (rectified_flow(torch.tensor([value], dtype=torch.float64)) for value in (0.8, 0.3))
    added = 0.5**2 * ddim_variance(level, after)
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    from_epsilon = ddim_step(0.8 * one, one, level, after, 0.5, 0.0 * one).square()
    assert from_epsilon.item() + added.item() == pytest.approx(0.3**2, abs=1e-12)


def test_deterministic_steps_need_no_noise_and_stochastic_ones_do() -> None:
    level = rectified_flow(torch.tensor([0.5, 0.5], dtype=torch.float64))
    with pytest.raises(ValueError, match="needs fresh noise"):
        ddim_step(draw(), draw(1), level, level, 0.5)
    with pytest.raises(ValueError, match=r"eta must be in \[0, 1\], got 2"):
        ddim_step(draw(), draw(1), level, level, 2.0, draw(2))
    with pytest.raises(ValueError, match="needs a generator"):
        denoise(draw(), [level, level], lambda noisy, index: noisy, 1.0)
    with pytest.raises(ValueError, match="one level at least"):
        denoise(draw(), [], lambda noisy, index: noisy)


def test_one_level_is_one_prediction(sd_alpha_bar: Tensor) -> None:
    (level,) = levels_at(sd_alpha_bar, [500, 20])
    epsilon = draw(1)
    assert torch.equal(denoise(draw(), [level], lambda noisy, index: epsilon), x0_at("epsilon", epsilon, draw(), level))


def test_denoising_is_a_loop_by_hand(sd_alpha_bar: Tensor) -> None:
    levels = levels_at(sd_alpha_bar, [600, 300], [400, 200], [200, 100])
    noisy = draw()
    for now, after in pairwise(levels):
        epsilon = PRIOR.epsilon(noisy, now, "cond")
        noisy = add_noise_at(x0_at("epsilon", epsilon, noisy, now), epsilon, after)
    expected = x0_at("epsilon", PRIOR.epsilon(noisy, levels[-1], "cond"), noisy, levels[-1])
    found = denoise(draw(), levels, lambda noisy, index: PRIOR.epsilon(noisy, levels[index], "cond"))
    assert torch.equal(found, expected)


def test_views_with_fewer_steps_wait_and_are_what_they_are_alone(sd_alpha_bar: Tensor) -> None:
    levels = levels_at(sd_alpha_bar, [600, 300], [400, 300], [200, 100])
    both = denoise(draw(), levels, lambda noisy, index: PRIOR.epsilon(noisy, levels[index], "cond"))
    for row, steps in enumerate(([600, 400, 200], [300, 100])):
        own = levels_at(sd_alpha_bar, *([step] for step in steps))
        alone = denoise(
            draw()[row : row + 1],
            own,
            lambda noisy, index, own=own: PRIOR.epsilon(noisy, own[index], "cond"),
        )
        assert torch.equal(both[row : row + 1], alone)


def test_noise_is_drawn_once_per_step_and_only_with_eta(sd_alpha_bar: Tensor) -> None:
    levels = levels_at(sd_alpha_bar, [600, 300], [400, 200], [200, 100])

    def run(eta: float, generator: torch.Generator) -> Tensor:
        return denoise(draw(), levels, lambda noisy, index: PRIOR.epsilon(noisy, levels[index], "cond"), eta, generator)

    generator, untouched = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    run(0.0, generator)
    assert torch.equal(generator.get_state(), untouched.get_state())
    first = run(1.0, generator)
    for _ in levels[1:]:
        torch.randn(2, 4, 2, 2, generator=untouched, dtype=torch.float64)
    assert torch.equal(generator.get_state(), untouched.get_state())
    assert torch.equal(first, run(1.0, torch.Generator().manual_seed(3)))


def test_processes_draw_the_noise_of_their_views() -> None:
    whole = fresh_noise(draw(), 0.5, torch.Generator().manual_seed(1))
    for rank in range(2):
        part = share_generator(torch.Generator().manual_seed(1), rank, 2, seed=7)
        assert torch.equal(fresh_noise(draw()[:1], 0.5, part), whole[rank : rank + 1])


def test_many_steps_solve_the_flow_of_gaussian_data(sd_alpha_bar: Tensor) -> None:
    clean = Level(torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    errors = []
    for spacing in (100, 10, 1):
        levels = levels_at(sd_alpha_bar, *([step] for step in range(600, -1, -spacing)))
        noisy = draw(batch=1)
        found = denoise(noisy, levels, lambda noisy, index, levels=levels: PRIOR.epsilon(noisy, levels[index], "cond"))
        errors.append((found - PRIOR.carry(noisy, levels[0], clean, 2.0)).abs().max().item())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.01
