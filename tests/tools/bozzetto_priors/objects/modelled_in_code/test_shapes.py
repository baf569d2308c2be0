"""Tests of the primitives of models that are built in code."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bozzetto_priors.objects.modelled_in_code import shapes


def test_a_lathe_makes_a_closed_solid_of_the_right_volume() -> None:
    cone = shapes.lathe([(1.0, 0.0), (0.0, 3.0)], sides=128)
    assert cone.is_watertight
    assert abs(cone.volume) == pytest.approx(math.pi, rel=0.01)
    band = shapes.lathe([(1.0, 0.0), (1.0, 1.0)], closed=False)
    assert not band.is_watertight


def test_a_tube_is_closed_and_as_thick_as_asked() -> None:
    tube = shapes.tube([(0, 0, 0), (0, 0, 1), (0, 0, 2)], 0.5, sides=64)
    assert tube.is_watertight
    assert abs(tube.volume) == pytest.approx(2 * math.pi * 0.25, rel=0.01)


def test_a_plate_of_a_concave_outline() -> None:
    arrow = [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (1.0, 0.5), (0.0, 2.0)]
    plate = shapes.plate(arrow, 0.5)
    assert plate.is_watertight
    assert plate.volume == pytest.approx(0.5 * (4.0 - 1.5))
    with pytest.raises(ValueError, match="clockwise"):
        shapes.plate(arrow[::-1], 0.5)


def test_placing_scales_then_turns_then_moves() -> None:
    moved = shapes.place(shapes.box(1, 1, 1), (10, 0, 0), (0, 0, 90), (4, 2, 1))
    np.testing.assert_allclose(moved.bounds, [[9, -2, -0.5], [11, 2, 0.5]], atol=1e-9)


def test_an_ellipsoid_has_its_half_axes() -> None:
    np.testing.assert_allclose(shapes.ball(3, 2, 1).extents, (6, 4, 2), rtol=0.02)
    np.testing.assert_allclose(shapes.ball(0.5).extents, (1, 1, 1), rtol=0.02)


def test_a_curve_goes_through_its_ends_and_never_overshoots() -> None:
    line = shapes.curve([(0.0, 0.0), (1.0, 1.0), (1.0, 2.0)], 50)
    np.testing.assert_allclose(line[[0, -1]], [(0, 0), (1, 2)], atol=1e-12)
    assert line[:, 0].max() <= 1.0 + 1e-12


def test_places_around_the_axis() -> None:
    assert shapes.around(2, 3.0) == [pytest.approx((3, 0, 0)), pytest.approx((-3, 0, 180), abs=1e-9)]
