"""Tests of `silhouette`: the contract of a loss, and a fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bozzetto.errors import ConfigError
from bozzetto.testing.loss import LossContract
from bozzetto.testing.scenes import SoftSphere, cameras_around, render_plainly
from bozzetto.types import LossInputs, Rendered
from PIL import Image
from torch import Tensor

from bozzetto_silhouette.config import SilhouetteConfig
from bozzetto_silhouette.masks import read_mask
from bozzetto_silhouette.silhouette import Silhouette


class TestSilhouette(LossContract):
    def make(self) -> Silhouette:
        return Silhouette(SilhouetteConfig())


def loss_of(opacity: Tensor, mask: str) -> Tensor:
    """Return the loss of one view with this opacity "H W"."""
    picture = opacity[None, ..., None]
    rendered = Rendered(picture.expand(-1, -1, -1, 3), picture, torch.zeros_like(picture))
    inputs = LossInputs(rendered, cameras_around(), None, 0, torch.Generator())
    return Silhouette(SilhouetteConfig(mask))(inputs)


def save(path: Path, pixels: np.ndarray) -> str:
    Image.fromarray(pixels).save(path)
    return str(path)


def test_it_is_the_mean_squared_difference(tmp_path: Path) -> None:
    half = np.zeros((8, 8), dtype=np.uint8)
    half[:, :4] = 255
    mask = save(tmp_path / "half.png", half)
    assert float(loss_of(torch.from_numpy(half / 255.0).float(), mask)) == 0.0
    assert float(loss_of(torch.zeros(8, 8), mask)) == pytest.approx(0.5)
    assert float(loss_of(torch.full((8, 8), 0.5), mask)) == pytest.approx(0.25)


def test_transparency_counts_before_brightness(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), dtype=np.uint8)
    pixels[:2, :, 3] = 255  # black, and opaque in its upper half
    found = read_mask(save(tmp_path / "black.png", pixels))
    assert found[:2].min() == 1.0 and found[2:].max() == 0.0


@pytest.mark.parametrize("name", ["heart", "star"])
def test_the_masks_of_the_package_are_shapes_in_the_middle(name: str) -> None:
    mask = read_mask(name)
    assert 0.15 < float(mask.mean()) < 0.6
    assert float(mask[0].max()) == float(mask[-1].max()) == 0.0
    torch.testing.assert_close(mask, mask.flip(1), atol=0.02, rtol=0.0)


def test_a_picture_that_is_not_there_or_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no picture 'hart'. Did you mean 'heart'?"):
        read_mask("hart")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ConfigError, match="cannot be read as a picture"):
        read_mask(str(tmp_path / "text.png"))
    with pytest.raises(ValueError, match="^mask: "):
        SilhouetteConfig(" ")


def test_it_fits_a_ball_to_a_disc(tmp_path: Path) -> None:
    """The ball's opacity from the front converges to a disc of the same size."""
    cameras = cameras_around()
    with torch.no_grad():
        wanted = render_plainly(SoftSphere(), cameras).opacity[0, ..., 0]
    mask = save(tmp_path / "disc.png", (wanted.numpy() * 255).round().astype(np.uint8))
    geometry, term = SoftSphere(density=1.0, softness=0.02), Silhouette(SilhouetteConfig(mask))
    optimizer, values = torch.optim.Adam(geometry.parameters(), lr=0.3), []
    for _ in range(40):
        loss = term(LossInputs(render_plainly(geometry, cameras), cameras, geometry, 0, torch.Generator()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.1 * values[0]
