"""Tests of fitting a thing to a photo: rotation, stretch, position and paint are recovered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.plugins.conftest import placed

from bozzetto.testing.fakes import cameras_around
from bozzetto.types import Reference
from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_plugins.priors.solid_fit import Seen, at, draw, fit, numbers_of, with_paint

CPU = torch.device("cpu")
Photograph = Callable[..., Reference]


def test_a_placed_thing_is_found_from_nearby(solids_unet: CameraUNet, photograph: Photograph) -> None:
    true = placed(1, 20.0, (1.15, 0.9, 1.1), (0.03, -0.05, 0.04))
    camera = cameras_around([0.0], 25.0)
    seen = Seen.of(photograph(true, camera), camera, CPU)
    guess = placed(1, 12.0, (1.0, 1.0, 1.0))
    found = fit(solids_unet.memory, seen, guess)
    start = (draw(solids_unet.memory, guess, seen.rays)[0] - seen.picture)[3].abs().sum() / seen.area
    left = (draw(solids_unet.memory, found.recalled, seen.rays)[0] - seen.picture)[3].abs().sum() / seen.area
    assert left < 0.1 < 0.2 < start
    assert numbers_of(found.recalled)[0] == pytest.approx(float(numbers_of(true)[0]), abs=0.08)


def test_what_fits_is_left_as_it_is(solids_unet: CameraUNet, photograph: Photograph) -> None:
    true, camera = placed(1, 40.0), cameras_around([10.0], 20.0)
    found = fit(solids_unet.memory, Seen.of(photograph(true, camera), camera, CPU), true)
    assert found.error < 0.02
    torch.testing.assert_close(numbers_of(found.recalled), numbers_of(true), atol=0.03, rtol=0.0)


def test_another_colour_is_paint_and_its_own_is_none(solids_unet: CameraUNet, photograph: Photograph) -> None:
    camera, paint = cameras_around([10.0], 20.0), (0.2, 0.3, 0.7)
    seen = Seen.of(photograph(placed(1, paint=paint), camera), camera, CPU)
    found = with_paint(solids_unet.memory, seen, placed(1))
    assert float(found.painted) == 1.0
    torch.testing.assert_close(found.paint[0], torch.tensor(paint), atol=0.03, rtol=0.0)
    own = with_paint(solids_unet.memory, Seen.of(photograph(placed(1), camera), camera, CPU), placed(1))
    assert float(own.painted) == 0.0 and not own.paint.any()


def test_rows_of_numbers_are_rows_of_pictures(solids_unet: CameraUNet) -> None:
    rays = cameras_around([0.0], 20.0, 16).rays()
    both = at(placed(2), torch.stack([numbers_of(placed(2)), numbers_of(placed(2, 90.0))]))
    drawn = draw(solids_unet.memory, both, rays)
    assert drawn.shape == (2, 4, 16, 16)
    torch.testing.assert_close(drawn[1:], draw(solids_unet.memory, placed(2, 90.0), rays))
    assert (drawn[0, 3] - drawn[1, 3]).abs().max() > 0.5
