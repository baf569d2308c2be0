"""Tests of posterior means, against their limits and against conditioning of joint Gaussians by linear algebra."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.math import posterior
from bozzetto.math.score import add_noise

ALPHA_BAR = torch.tensor([0.999, 0.5, 0.02], dtype=torch.float64)
DEVIATION = torch.tensor([0.05, 0.7, 2.0], dtype=torch.float64)


def draw(count: int, *shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def conditioned(
    prior: Tensor, covariance: Tensor, seen: Tensor, seeing: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of x given `seen` = `seeing` x + noise of this covariance (joint Gaussian)."""
    gain = covariance @ seeing.T @ torch.linalg.inv(seeing @ covariance @ seeing.T + noise)
    return prior + gain @ (seen - seeing @ prior), covariance - gain @ seeing @ covariance


def test_a_posterior_is_the_joint_gaussian_given_what_is_seen() -> None:
    noisy, mean = draw(2, 3, 2, 2, 2)
    found = posterior.gaussian_posterior_mean(noisy, mean, DEVIATION, ALPHA_BAR)
    left = posterior.clean_deviation(ALPHA_BAR, DEVIATION)
    eye = torch.eye(8, dtype=torch.float64)
    for row, (abar, deviation) in enumerate(zip(ALPHA_BAR, DEVIATION, strict=True)):
        expected, spread = conditioned(
            mean[row].flatten(), deviation**2 * eye, noisy[row].flatten(), abar.sqrt() * eye, (1.0 - abar) * eye
        )
        torch.testing.assert_close(found[row].flatten(), expected)
        torch.testing.assert_close(left[row], spread.diagonal().mean().sqrt())


def test_the_mean_itself_where_all_is_noise_and_the_picture_where_none_is() -> None:
    clean, mean, epsilon = draw(3, 3, 2, 2, 2)
    none, nearly_one = torch.zeros(3, dtype=torch.float64), torch.full((3,), 1.0 - 1e-12, dtype=torch.float64)
    torch.testing.assert_close(posterior.gaussian_posterior_mean(epsilon, mean, DEVIATION, none), mean)
    torch.testing.assert_close(posterior.clean_deviation(none, DEVIATION), DEVIATION)
    hardly = add_noise(clean, epsilon, nearly_one)
    seen = posterior.gaussian_posterior_mean(hardly, mean, DEVIATION, nearly_one)
    torch.testing.assert_close(seen, clean, rtol=0.0, atol=1e-5)
    assert posterior.clean_deviation(nearly_one, DEVIATION).max() < 1e-5


def test_what_is_certain_stays_what_it_is() -> None:
    noisy, mean = draw(2, 3, 2, 2, 2)
    certain = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(posterior.gaussian_posterior_mean(noisy, mean, certain, ALPHA_BAR), mean)
    assert not posterior.clean_deviation(ALPHA_BAR, certain).any()


def test_a_plain_colour_is_the_joint_gaussian_given_the_pixels_that_share_it() -> None:
    (noisy,) = draw(1, 3, 3, 2, 3)
    empty = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], dtype=torch.float64).view(1, 1, 2, 3).expand(3, 1, 2, 3)
    found = posterior.plain_colour(noisy, empty, ALPHA_BAR, 0.9, 0.6)
    left = posterior.plain_deviation(empty, ALPHA_BAR, 0.6)
    prior, covariance = torch.tensor([0.9], dtype=torch.float64), torch.tensor([[0.36]], dtype=torch.float64)
    for row, abar in enumerate(ALPHA_BAR):
        for channel in range(3):
            seen = noisy[row, channel].flatten()[empty[row].flatten() > 0]
            seeing = abar.sqrt() * torch.ones(len(seen), 1, dtype=torch.float64)
            noise = (1.0 - abar) * torch.eye(len(seen), dtype=torch.float64)
            expected, spread = conditioned(prior, covariance, seen, seeing, noise)
            assert found[row, channel].item() == pytest.approx(expected.item())
            assert left[row].item() == pytest.approx(spread.sqrt().item())


@pytest.mark.parametrize("abar", [0.9, 0.3, 0.01])
def test_a_plain_colour_that_may_be_the_usual_one_is_the_mean_over_both(abar: float) -> None:
    """Against sums over a fine grid of colours, per channel, weighted by the evidence of all three."""
    (noise,) = draw(1, 1, 3, 2, 2)
    true = torch.tensor([0.7, 1.0, 1.2], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    alpha_bar = torch.tensor([abar], dtype=torch.float64)
    noisy, everywhere = add_noise(true, noise, alpha_bar), torch.ones(1, 1, 2, 2, dtype=torch.float64)
    found = posterior.plain_colour(noisy, everywhere, alpha_bar, 1.0, 0.4, usual=0.8)[0]
    grid = torch.linspace(-2.0, 4.0, 20001, dtype=torch.float64)
    before = torch.softmax(-0.5 * ((grid - 1.0) / 0.4).square(), dim=0)

    def likelihood(colour: Tensor, channel: int) -> Tensor:
        pixels = noisy[0, channel].flatten()
        return torch.exp(-0.5 * (pixels - abar**0.5 * colour[:, None]).square().sum(dim=1) / (1.0 - abar))

    seen = [likelihood(grid, channel) * before for channel in range(3)]
    other = 0.2 * torch.stack([each.sum() for each in seen]).prod()
    white = torch.ones(1, dtype=torch.float64)
    usual = 0.8 * torch.stack([likelihood(white, channel)[0] for channel in range(3)]).prod()
    for channel, each in enumerate(seen):
        expected = (usual + other * (each * grid).sum() / each.sum()) / (usual + other)
        assert found[channel].item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_plain_colour_is_what_was_thought_where_nothing_is_seen() -> None:
    (noisy,) = draw(1, 3, 3, 2, 2)
    everywhere = torch.ones(3, 1, 2, 2, dtype=torch.float64)
    unseen = torch.full((3, 3), 0.8, dtype=torch.float64)
    none = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(posterior.plain_colour(noisy, everywhere, none, 0.8, 0.7), unseen)
    torch.testing.assert_close(posterior.plain_colour(noisy, everywhere, none, 0.8, 0.7, usual=0.5), unseen)
    torch.testing.assert_close(posterior.plain_colour(noisy, 0.0 * everywhere, ALPHA_BAR, 0.8, 0.7), unseen)
    nearly_one = torch.full((3,), 1.0 - 1e-12, dtype=torch.float64)
    page = torch.tensor([0.2, -0.4, 0.6], dtype=torch.float64).expand(3, 3)
    seen = posterior.plain_colour(page[:, :, None, None].expand(3, 3, 2, 2), everywhere, nearly_one, 0.8, 0.7)
    torch.testing.assert_close(seen, page)
