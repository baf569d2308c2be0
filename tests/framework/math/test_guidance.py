"""Tests of classifier-free guidance, Perp-Neg and rescaling, against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.math.guidance import cfg, perp_neg, perpendicular, rescale


def draw(count: int, shape: tuple[int, ...] = (2, 4, 3, 3)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize(("scale", "expected"), [(0.0, 1.0), (1.0, 3.0), (7.5, 16.0), (100.0, 201.0)])
def test_cfg_counts_from_the_unconditional_prediction(scale: float, expected: float) -> None:
    cond, uncond = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 1.0)
    assert cfg(cond, uncond, scale).item() == expected


def test_perpendicular_in_the_plane() -> None:
    vector, onto = torch.tensor([3.0, 4.0]), torch.tensor([2.0, 0.0])
    rest = perpendicular(vector.view(1, 2, 1, 1), onto.view(1, 2, 1, 1))
    torch.testing.assert_close(rest.flatten(), torch.tensor([0.0, 4.0]))


def test_perpendicular_is_per_view() -> None:
    vector, onto = draw(2)
    rest = perpendicular(vector, onto)
    torch.testing.assert_close((rest * onto).sum(dim=(1, 2, 3)), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(perpendicular(vector[1:], onto[1:]), rest[1:])


def test_everything_is_perpendicular_to_nothing() -> None:
    (vector,) = draw(1)
    assert torch.equal(perpendicular(vector, torch.zeros_like(vector)), vector)


def test_perp_neg_without_weights_is_cfg() -> None:
    cond, uncond, first, second = draw(4)
    guided = perp_neg(cond, uncond, torch.stack([first, second], 1), torch.zeros(2, 2, dtype=torch.float64), 7.5)
    torch.testing.assert_close(guided, cfg(cond, uncond, 7.5))


def test_a_negative_that_repeats_the_prompt_takes_nothing_away() -> None:
    cond, uncond = draw(2)
    weights = torch.full((2, 1), -3.0, dtype=torch.float64)
    torch.testing.assert_close(perp_neg(cond, uncond, cond[:, None], weights, 7.5), cfg(cond, uncond, 7.5))


def test_perp_neg_in_closed_form() -> None:
    axes = torch.eye(3).view(3, 1, 3, 1, 1)
    uncond = torch.zeros(1, 3, 1, 1)
    negative = axes[0] + 2.0 * axes[1]
    guided = perp_neg(axes[0], uncond, torch.stack([negative, axes[2]], 1), torch.tensor([[-0.5, -0.25]]), 10.0)
    torch.testing.assert_close(guided.flatten(), torch.tensor([10.0, -10.0, -2.5]))


def test_rescale_brings_back_the_spread() -> None:
    cond, guided = draw(2)
    guided = 9.0 * guided
    torch.testing.assert_close(rescale(guided, cond, 0.0), guided)
    torch.testing.assert_close(rescale(guided, cond, 1.0).std(dim=(1, 2, 3)), cond.std(dim=(1, 2, 3)))


def test_rescale_agrees_with_diffusers() -> None:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    cond, guided = draw(2)
    torch.testing.assert_close(rescale(guided, cond, 0.7), rescale_noise_cfg(guided, cond, 0.7))
