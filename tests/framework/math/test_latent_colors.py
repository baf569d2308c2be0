"""Closed forms of the linear maps between latents and colours."""

from __future__ import annotations

import pytest
import torch

from bozzetto.math.latent_colors import color_map, colors_of_latents, held_in_range, latents_of_colors


def test_stable_diffusions_map_by_hand() -> None:
    matrix = color_map("stable-diffusion", 4)
    first = colors_of_latents(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, -2.0]]), matrix)
    expected = [[0.649, 0.6035, 0.604], [0.5 + 0.184, 0.5 + 0.271, 0.5 + 0.473]]
    torch.testing.assert_close(first, torch.tensor(expected))


@pytest.mark.parametrize(("codec", "channels"), [("stable-diffusion", 4), ("pixels", 12), ("pixels", 48)])
def test_colours_come_back(codec: str, channels: int) -> None:
    colors, matrix = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)), color_map(codec, channels)
    latents = latents_of_colors(colors, matrix)
    assert latents.shape == (5, channels)
    torch.testing.assert_close(colors_of_latents(latents, matrix), colors, rtol=1e-5, atol=1e-5)
    other = latents + torch.linalg.svd(matrix).Vh[3]  # along a direction that the map does not see
    torch.testing.assert_close(colors_of_latents(other, matrix), colors, rtol=1e-5, atol=1e-5)
    assert bool((other.norm(dim=1) > latents.norm(dim=1)).all())


def test_the_map_of_pixels_is_the_mean_of_a_patch() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    latents = torch.pixel_unshuffle(2.0 * image - 1.0, 4).permute(0, 2, 3, 1)
    found = colors_of_latents(latents, color_map("pixels", 48)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, torch.nn.functional.avg_pool2d(image, 4))
    solid = latents_of_colors(torch.tensor([[0.2, 0.5, 1.0]]), color_map("pixels", 48))
    torch.testing.assert_close(solid, torch.tensor([-0.6, 0.0, 1.0]).repeat_interleave(16)[None], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("codec", "channels"), [("stable-diffusion", 3), ("pixels", 4), ("pixels", 0), ("pixels", 13)])
def test_other_numbers_of_channels_are_refused(codec: str, channels: int) -> None:
    with pytest.raises(ValueError, match=rf"channels.*got {channels}"):
        color_map(codec, channels)


def test_a_colour_beyond_the_range_has_a_gradient() -> None:
    colors = torch.tensor([[-0.5, 0.25, 1.5]], requires_grad=True)
    held = held_in_range(colors)
    assert held.tolist() == [[0.0, 0.25, 1.0]]
    held.sum().backward()
    assert colors.grad is not None and colors.grad.tolist() == [[1.0, 1.0, 1.0]]
