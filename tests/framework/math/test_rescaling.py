"""Tests of rescaling over views and groups, as noise and as clean latents, and of normalised gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.math.guidance import rescale
from bozzetto.math.levels import add_noise_at, epsilon_at, variance_preserving, x0_at
from bozzetto.math.rescaling import normalised, rescale_group, rescale_in
from bozzetto.math.score import sds_gradient
from bozzetto.math.timesteps import level_weight

LEVEL = variance_preserving(torch.tensor([0.5, 0.5, 0.1, 0.1], dtype=torch.float64))


def draw(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, 2, 2, generator=generator, dtype=torch.float64) for _ in range(count)]


def rows(level: object, own: slice) -> object:
    return variance_preserving(level.alpha_bar[own])


def test_a_group_of_one_view_changes_no_bit() -> None:
    guided, cond = draw(2)
    assert torch.equal(rescale_group(guided, cond, 0.7), rescale(guided, cond, 0.7))


def test_a_group_has_one_deviation() -> None:
    guided, cond = draw(2)
    found = rescale_group(guided, cond, 1.0, views=2)
    for own in (slice(0, 2), slice(2, 4)):
        torch.testing.assert_close(found[own].std(), cond[own].std())
        torch.testing.assert_close(found[own] / guided[own], (cond[own].std() / guided[own].std()).expand(2, 3, 2, 2))


def test_half_a_rescaling_of_clean_latents_by_hand() -> None:
    guided, cond, noisy = draw(3)
    x0, of_cond = (x0_at("epsilon", value, noisy, LEVEL) for value in (guided, cond))
    expected = torch.cat(
        [0.5 * x0[own] * of_cond[own].std() / x0[own].std() + 0.5 * x0[own] for own in (slice(0, 2), slice(2, 4))]
    )
    found = rescale_in("x0", guided, cond, noisy, LEVEL, 0.5, views=2)
    torch.testing.assert_close(x0_at("epsilon", found, noisy, LEVEL), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found, epsilon_at("x0", expected, noisy, LEVEL), rtol=1e-6, atol=1e-6)


def test_rescaling_noise_is_not_rescaling_clean_latents() -> None:
    guided, cond, noisy = draw(3)
    as_noise = rescale_in("epsilon", guided, cond, noisy, LEVEL, 0.5)
    assert torch.equal(as_noise, rescale(guided, cond, 0.5))
    assert not torch.allclose(as_noise, rescale_in("x0", guided, cond, noisy, LEVEL, 0.5), atol=0.01)


@pytest.mark.parametrize("space", ["epsilon", "x0"])
def test_without_rescaling_a_reconstruction_is_a_score(space: str) -> None:
    guided, cond, x0, epsilon = draw(4)
    noisy = add_noise_at(x0, epsilon, LEVEL)
    kept = rescale_in(space, guided, cond, noisy, LEVEL, 0.0, views=4)
    assert torch.equal(kept, guided)
    gradient = sds_gradient(kept, epsilon, level_weight("sigma-over-alpha", LEVEL))
    torch.testing.assert_close(gradient, x0 - x0_at("epsilon", kept, noisy, LEVEL), rtol=1e-6, atol=1e-6)


def test_two_groups_are_two_singles() -> None:
    guided, cond, noisy = draw(3)
    both = rescale_in("x0", guided, cond, noisy, LEVEL, 0.5, views=2)
    for own in (slice(0, 2), slice(2, 4)):
        alone = rescale_in("x0", guided[own], cond[own], noisy[own], rows(LEVEL, own), 0.5, views=2)
        torch.testing.assert_close(both[own], alone, rtol=1e-12, atol=1e-12)


def test_part_of_a_group_is_refused() -> None:
    guided, cond = draw(2)
    with pytest.raises(ValueError, match="4 views are not a whole number of groups of 3"):
        rescale_group(guided, cond, 0.5, views=3)


def test_every_views_gradient_has_norm_one() -> None:
    (gradient,) = draw(1)
    gradient[1] *= 1e6
    gradient[2] = 0.0
    found = normalised(gradient)
    torch.testing.assert_close(found.flatten(1).norm(dim=1), torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64))
    assert torch.equal(normalised(gradient[1:2]), found[1:2])
