"""Tests of the geometry of curves."""

from __future__ import annotations

import math

import pytest

from bozzetto_report.curves import HEIGHT, MOST_POINTS, WIDTH, Series, chart, means, short, thin


def points(piece: str) -> list[tuple[float, float]]:
    return [tuple(map(float, point.split(","))) for point in piece.split()]  # type: ignore[misc]


def test_a_line_from_corner_to_corner():
    made = chart("loss", [Series("run", (10, 20, 30), (1.0, 2.0, 3.0))])
    assert made is not None and (made.low, made.high, made.first_step, made.last_step) == ("1", "3", 10, 30)
    assert points(made.lines[0].pieces[0]) == [(0.0, HEIGHT), (WIDTH / 2, HEIGHT / 2), (WIDTH, 0.0)]
    assert not made.logarithmic and made.lines[0].last == "3"


def test_a_wide_range_of_positive_numbers_is_logarithmic():
    made = chart("loss", [Series("run", (0, 1, 2), (1.0, 10.0, 100.0))])
    assert made is not None and made.logarithmic
    assert points(made.lines[0].pieces[0])[1] == (WIDTH / 2, HEIGHT / 2)
    signed = chart("loss", [Series("run", (0, 1), (-1.0, 100.0))])
    assert signed is not None and not signed.logarithmic


def test_gaps_split_a_line_and_a_single_point_is_drawn():
    made = chart("loss", [Series("run", (0, 1, 2, 3), (1.0, math.nan, 2.0, 2.5))])
    assert made is not None and [len(points(piece)) for piece in made.lines[0].pieces] == [2, 2]
    assert chart("loss", [Series("run", (0, 1), (math.nan, math.inf))]) is None
    assert chart("loss", [Series("run", (), ())]) is None


def test_a_constant_is_in_the_middle():
    made = chart("loss", [Series("run", (5,), (3.0,))])
    assert made is not None and points(made.lines[0].pieces[0])[0] == (WIDTH / 2, HEIGHT / 2)


def test_many_points_become_means():
    count = 10 * MOST_POINTS
    thinned = thin(range(count), [float(step % 2) for step in range(count)])
    assert len(thinned) == MOST_POINTS and {value for _, value in thinned} == {0.5}
    assert thinned[0][0] == 4.5


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.1235"), (20000, "20000"), (1.5e12, "1.5e+12"), (math.nan, "–"), (-2.0, "-2")]
)
def test_short(value, text):
    assert short(value) == text


def test_means_of_parts():
    assert means([1.0, 1.0, 3.0, 3.0], 2) == [1.0, 3.0]
    assert math.isnan(means([math.nan, 1.0], 2)[0])
