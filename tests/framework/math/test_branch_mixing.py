"""Tests of combinations of three predictions, on Gaussian data and bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.math.branch_mixing import domain_correction, mix, noise_free, three_way
from bozzetto.math.guidance import cfg
from bozzetto.math.levels import add_noise_at, variance_preserving
from bozzetto.math.score import sds_gradient
from bozzetto.math.timesteps import level_weight
from bozzetto.testing.gaussian_prior import GaussianPrior

MEANS = {"cond": 1.5, "null": -0.5, "negative": 0.8, "image": 0.2}
PRIOR = GaussianPrior(MEANS, 0.6)
LEVEL = variance_preserving(torch.tensor([0.9, 0.3, 0.02], dtype=torch.float64))


def draw(count: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 4, 2, 2, generator=generator, dtype=dtype) for _ in range(count)]


def branches(noisy: Tensor) -> dict[str, Tensor]:
    return {name: PRIOR.epsilon(noisy, LEVEL, name) for name in MEANS}


def closed(difference: float) -> Tensor:
    """Return `s a difference / D`, the effect of a difference of means on predicted noise."""
    factor = (LEVEL.signal * LEVEL.noise)[:, None, None, None] / PRIOR.variance(LEVEL)
    return (factor * difference).expand(3, 4, 2, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 2.3, 7.5, 50.0, 100.0])
def test_a_mix_that_is_guidance_is_guidance_bit_for_bit(scale: float, dtype: torch.dtype) -> None:
    cond, negative, null, epsilon = draw(4, dtype)
    weight = level_weight("one-minus-alpha-bar", variance_preserving(torch.tensor([0.9, 0.3, 0.02], dtype=dtype)))
    for empty in (null, None):
        mixed = mix(cond, negative, empty, (scale, 1.0 - scale, 0.0))
        assert torch.equal(mixed, cfg(cond, negative, scale))
        gradient = sds_gradient(mixed, epsilon, weight)
        assert torch.equal(gradient, sds_gradient(cfg(cond, negative, scale), epsilon, weight))


def test_a_mix_is_the_weighted_sum() -> None:
    cond, negative, null = draw(3)
    torch.testing.assert_close(
        mix(cond, negative, null, (1.0, -0.5, -0.3)), cond - 0.5 * negative - 0.3 * null, rtol=1e-12, atol=1e-12
    )


def test_a_weight_without_a_prediction_is_refused() -> None:
    cond, negative = draw(2)
    with pytest.raises(ValueError, match="the empty prompt needs its prediction"):
        mix(cond, negative, None, (1.0, 0.0, -1.0))


def test_the_classifier_score_is_constant_and_has_no_variance() -> None:
    x0, *noises = draw(4)
    for latents in (x0, x0 + 3.0):
        for epsilon in noises:
            found = branches(add_noise_at(latents, epsilon, LEVEL))
            score = mix(found["cond"], found["null"], None, (1.0, -1.0, 0.0))
            torch.testing.assert_close(score, closed(MEANS["null"] - MEANS["cond"]), rtol=1e-6, atol=1e-6)


def test_the_noise_free_score_in_closed_form_on_both_sides_of_the_switch() -> None:
    x0, epsilon = draw(2)
    noisy = add_noise_at(x0, epsilon, LEVEL)
    found = branches(noisy)
    fraction = torch.tensor([0.1, 0.2, 0.9], dtype=torch.float64)
    score = noise_free(found["cond"], found["null"], found["negative"], fraction, 7.5)
    guided = closed(7.5 * (MEANS["null"] - MEANS["cond"]))
    late = guided + closed(MEANS["negative"] - MEANS["null"])
    torch.testing.assert_close(score[0], (guided + found["null"])[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(score[1:], late[1:], rtol=1e-6, atol=1e-6)


def test_the_switch_is_per_view() -> None:
    null, negative = draw(2)
    fraction = torch.tensor([0.1, 0.5, 0.19])
    both = domain_correction(null, negative, fraction)
    for row in range(3):
        own = slice(row, row + 1)
        assert torch.equal(both[own], domain_correction(null[own], negative[own], fraction[own]))


def test_three_branches_are_a_third_mean() -> None:
    x0, epsilon = draw(2)
    noisy = add_noise_at(x0, epsilon, LEVEL)
    found = branches(noisy)
    mixed = three_way(found["cond"], found["image"], found["null"], 7.5, 1.5)
    mean = MEANS["null"] + 1.5 * (MEANS["image"] - MEANS["null"]) + 7.5 * (MEANS["cond"] - MEANS["image"])
    torch.testing.assert_close(mixed, PRIOR.epsilon_of_mean(noisy, LEVEL, mean), rtol=1e-6, atol=1e-6)


def test_an_image_that_says_nothing_leaves_guidance_by_text() -> None:
    cond, uncond = draw(2)
    assert torch.equal(three_way(cond, uncond, uncond, 7.5, 1.5), cfg(cond, uncond, 7.5))
