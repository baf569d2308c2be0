"""Tests of pictures of rendered maps: closed forms at pixels that are partly covered."""

from __future__ import annotations

import pytest
import torch

from bozzetto.math.map_pictures import normal_picture, surface_depth


@pytest.mark.parametrize("opacity", [0.0, 0.25, 1.0])
def test_a_normal_blends_with_white_by_its_opacity(opacity: float) -> None:
    """As a picture of the colour would: opacity times colour, over white."""
    normal, covered = torch.tensor([[[0.6, -0.8, 0.0]]]), torch.full((1, 1, 1), opacity)
    color = torch.tensor([[[0.8, 0.1, 0.5]]])
    torch.testing.assert_close(normal_picture(opacity * normal, covered), opacity * color + (1.0 - opacity))


def test_the_depth_of_an_outline_is_that_of_the_surface() -> None:
    opacity = torch.tensor([1.0, 0.6, 0.01, 0.0]).view(1, 1, 4, 1)
    found = surface_depth(opacity * 3.0, opacity).flatten()
    torch.testing.assert_close(found, torch.tensor([3.0, 3.0, 3.0, 0.0]))
