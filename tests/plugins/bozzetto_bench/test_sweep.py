"""Tests of the fitted plane and its image."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from bozzetto_bench.report import sweep_line
from bozzetto_bench.sweep import Line, Point, fit, picture

TRUTH = Line(0.01, 2e-6, 5e-7, 1.0)
POINTS = [
    Point(rays, rays * per, TRUTH.at(rays, rays * per)) for rays in (256, 1024, 4096) for per in (8.0, 16.0, 40.0)
]


def test_the_fit_finds_the_plane() -> None:
    line = fit(POINTS)
    assert (line.fixed, line.per_ray, line.per_sample) == pytest.approx((0.01, 2e-6, 5e-7), rel=1e-6)
    assert line.explained == pytest.approx(1.0)
    assert "10.0 ms + 2.000 us per ray + 0.500 us per sample (R^2 1.000)" in sweep_line(line)


def test_two_points_are_too_few() -> None:
    with pytest.raises(ValueError, match="points: a line in rays and samples needs at least 3, got 2"):
        fit(POINTS[:2])


def test_the_picture_is_a_drawing_of_every_point() -> None:
    root = ElementTree.fromstring(picture(POINTS, fit(POINTS), "cost < & >"))
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert tags.count("circle") == len(POINTS) and tags.count("polyline") == 3
    words = [element.text for element in root.iter() if element.text]
    assert "cost < & >" in words and "4096 rays" in words
    for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.get("cx")) <= 640 and 0 <= float(circle.get("cy")) <= 400
