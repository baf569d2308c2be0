"""Tests of losses that compare with a photo: values computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bozzetto.errors import ConfigError
from bozzetto.kinds.loss import Loss
from bozzetto.math.photos import over, resize_masked
from bozzetto.math.reference_losses import angular_difference, correlation, masked_square_error
from bozzetto.testing.fakes import a_photo, cameras_around
from bozzetto.types import Cameras, LossInputs, Rendered
from bozzetto_plugins.loss.config import (
    ReferenceColorConfig,
    ReferenceDepthCorrelationConfig,
    ReferenceMaskConfig,
    ReferenceNormalConfig,
)
from bozzetto_plugins.loss.reference_color import ReferenceColor
from bozzetto_plugins.loss.reference_depth_correlation import ReferenceDepthCorrelation
from bozzetto_plugins.loss.reference_mask import ReferenceMask
from bozzetto_plugins.loss.reference_normal import ReferenceNormal

PHOTO = a_photo()


def seen(rendered: Rendered, photo: object = PHOTO, cameras: Cameras | None = None) -> LossInputs:
    return LossInputs(rendered, cameras or PHOTO.camera, None, 0, torch.Generator(), photo)


def rendering_of_the_photo(**changes: object) -> Rendered:
    normal = torch.einsum("ij,hwj->hwi", PHOTO.camera.c2w[0, :3, :3], PHOTO.normal)
    same = Rendered(over(PHOTO.image, PHOTO.mask, 1.0)[None], PHOTO.mask[None], PHOTO.depth[None], normal[None])
    return replace(same, **changes)


LOSSES = (
    ReferenceColor(ReferenceColorConfig()),
    ReferenceMask(ReferenceMaskConfig()),
    ReferenceDepthCorrelation(ReferenceDepthCorrelationConfig()),
    ReferenceNormal(ReferenceNormalConfig()),
)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_rendering_of_the_photo_is_at_rest(loss: Loss) -> None:
    assert float(loss(seen(rendering_of_the_photo()))) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_without_a_photo_it_says_what_to_do(loss: Loss) -> None:
    with pytest.raises(ConfigError, match="reads a photo.*single-image"):
        loss(seen(rendering_of_the_photo(), None))


@pytest.mark.parametrize(("loss", "field"), [(LOSSES[2], "depth"), (LOSSES[3], "normal")])
def test_without_a_map_it_says_what_to_do(loss: Loss, field: str) -> None:
    with pytest.raises(ConfigError, match=f"reads .* Set `{field}` of the view source"):
        loss(seen(rendering_of_the_photo(), replace(PHOTO, **{field: None})))


def test_colour_counts_inside_the_mask_alone() -> None:
    background = over(PHOTO.image, PHOTO.mask, 0.3)[None]
    assert float(LOSSES[0](seen(rendering_of_the_photo(image=background)))) == pytest.approx(0.0, abs=1e-6)
    off = (PHOTO.image + 0.2)[None]
    expected = 0.04 * float(PHOTO.mask.mean())
    assert float(LOSSES[0](seen(rendering_of_the_photo(image=off)))) == pytest.approx(expected, rel=1e-4)


def test_an_empty_rendering_lacks_the_whole_mask() -> None:
    empty = rendering_of_the_photo(opacity=torch.zeros_like(PHOTO.mask)[None])
    assert float(LOSSES[1](seen(empty))) == pytest.approx(float(PHOTO.mask.mean()))


def test_depth_knows_no_scale_and_no_offset_but_a_sign() -> None:
    scaled = rendering_of_the_photo(depth=3.0 * PHOTO.depth[None] + 7.0)
    assert float(LOSSES[2](seen(scaled))) == pytest.approx(0.0, abs=1e-4)
    inverted = rendering_of_the_photo(depth=5.0 - PHOTO.depth[None])
    assert float(LOSSES[2](seen(inverted))) == pytest.approx(2.0, abs=1e-4)


def test_normals_are_compared_in_the_world() -> None:
    aside = cameras_around([90.0], 10.0, 16)
    wrong = LOSSES[3](seen(rendering_of_the_photo(), cameras=aside))
    assert float(wrong) > 0.5


def test_a_photo_of_another_size_is_resized_without_its_background() -> None:
    image, mask = torch.zeros(4, 4, 3), torch.zeros(4, 4, 1)
    image[:, :2], mask[:, :2] = 0.8, 1.0
    image[:, 2:] = 0.1  # arbitrary colour
    small, cover = resize_masked(image, mask, (2, 2))
    assert float(cover[0, 0]) > 0.8 > float(cover[0, 1])
    torch.testing.assert_close(small, torch.full((2, 2, 3), 0.8))
    assert resize_masked(image, mask, (4, 4))[0] is image


def test_correlation_is_pearsons() -> None:
    a, b = torch.rand(2, 50, generator=torch.Generator().manual_seed(0))
    expected = torch.corrcoef(torch.stack([a, b]))[0, 1]
    torch.testing.assert_close(correlation(a, b, torch.ones(50)), expected, rtol=1e-4, atol=1e-4)
    half = (torch.arange(50) < 25).float()
    expected = torch.corrcoef(torch.stack([a[:25], b[:25]]))[0, 1]
    torch.testing.assert_close(correlation(a, b, half), expected, rtol=1e-4, atol=1e-4)
    assert float(correlation(a, torch.ones(50), torch.ones(50))) == pytest.approx(0.0, abs=1e-3)
    assert float(correlation(a, b, torch.zeros(50))) == 0.0


def test_pure_losses_of_nothing_are_finite() -> None:
    nothing = torch.zeros(1, 2, 2, 1)
    assert float(masked_square_error(torch.rand(1, 2, 2, 3), torch.rand(1, 2, 2, 3), nothing)) == 0.0
    assert float(angular_difference(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 3), nothing)) == 0.0
