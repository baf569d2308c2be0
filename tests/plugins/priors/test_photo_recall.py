"""Tests of photo recall: the thing, its side and its position, for any framing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tests.plugins.conftest import placed
from torch import Tensor

from bozzetto.testing.fakes import cameras_around
from bozzetto.types import Reference
from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_plugins.priors.photo_recall import FILL, SIDES, PhotoRecall, box_of, crop, crop_to_object
from bozzetto_plugins.priors.solid_fit import draw

Photograph = Callable[..., Reference]


def no_idea(pictures: Tensor) -> Tensor:
    """Uniform scores for any side of any thing except the first, which is empty."""
    scores = torch.zeros(len(pictures), 4, SIDES)
    scores[:, 0] = -1e4
    return scores.flatten(1)


@pytest.mark.parametrize(("row", "turn_deg"), [(1, 70.0), (1, -110.0), (2, 40.0), (3, 0.0)])
def test_an_encoder_without_an_idea_is_made_up_for_by_drawing(
    solids_unet: CameraUNet, photograph: Photograph, row: int, turn_deg: float
) -> None:
    true = placed(row, turn_deg, (1.1, 1.1, 1.1), (0.0, 0.05, -0.05))
    photo = photograph(true, cameras_around([0.0], 20.0))
    found = PhotoRecall(solids_unet.memory, no_idea)(photo)
    assert int(found.recalled.thing) == row
    views = cameras_around([130.0], 30.0, 32).rays()
    ours, theirs = (draw(solids_unet.memory, one, views)[0, 3] > 0.5 for one in (found.recalled, true))
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.6


def test_the_photos_azimuth_counts(solids_unet: CameraUNet, photograph: Photograph) -> None:
    """The same image with a camera azimuth of 90 degrees: the recalled rotation is 90 degrees smaller."""
    true = placed(1, 45.0)
    recall = PhotoRecall(solids_unet.memory, no_idea)
    front, left = cameras_around([0.0], 20.0), cameras_around([90.0], 20.0)
    photo = photograph(true, front)
    moved = replace(photo, camera=replace(left, height=64, width=64))
    one, other = (recall(each).recalled.placement for each in (photo, moved))
    gap = math.degrees(float(one.turn_rad - other.turn_rad)) % 360.0
    assert gap == pytest.approx(90.0, abs=3.0)


@pytest.mark.parametrize("true_deg", [10.0, 70.0])
def test_the_true_elevation_leaves_least(solids_unet: CameraUNet, photograph: Photograph, true_deg: float) -> None:
    """A step, whose sides differ in outline: a plate can be stretched to match another elevation."""
    photo = photograph(placed(1, 40.0), cameras_around([0.0], true_deg))
    errors = PhotoRecall(solids_unet.memory, no_idea).errors_of_elevations(photo, (10.0, 40.0, 70.0))
    assert int(errors.argmin()) == (0 if true_deg == 10.0 else 2)


def test_boxes_and_crops() -> None:
    opacity = torch.zeros(2, 1, 16, 16)
    opacity[0, 0, 4:8, 2:10] = 1.0
    box = box_of(opacity)
    torch.testing.assert_close(box[0], torch.tensor([-0.25, -0.25, 0.5, 0.25]))
    torch.testing.assert_close(box[1], torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert crop(opacity[:1], box[:1], 4).mean() == pytest.approx(1.0, abs=0.1)
    cropped = crop_to_object(opacity[:1], opacity[:1], 20)
    assert cropped.shape == (1, 1, 20, 20)
    assert cropped.mean() == pytest.approx(0.5 * FILL**2, abs=0.06)
