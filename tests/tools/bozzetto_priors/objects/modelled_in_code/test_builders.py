"""Tests of objects generated in code: their primitives, and invariants of every piece."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pytest

from bozzetto_priors.objects import thing_table
from bozzetto_priors.objects.modelled_in_code import builders, shapes

NO_TABLES = ("__init__", "builders", "shapes")
"""Modules beside the tables."""


def own_pieces() -> list[str]:
    """Return the pieces of `thing_table.THINGS` that are generated in code."""
    prefix = f"{thing_table.OWN}/"
    return [key.removeprefix(prefix) for thing in thing_table.THINGS for key in thing.keys if key.startswith(prefix)]


def test_every_piece_has_a_builder_and_every_builder_a_piece() -> None:
    named = {piece.rpartition("-")[0] for piece in own_pieces()}
    assert named == set(builders.BUILDERS)


def test_no_builder_is_in_two_tables() -> None:
    folder = Path(builders.__file__).parent
    names = []
    for module in folder.glob("*.py"):
        for node in [] if module.stem in NO_TABLES else ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BUILDERS":
                names += [key.value for key in node.value.keys]
    assert len(names) == len(set(names)) == len(builders.BUILDERS)


@pytest.mark.parametrize("piece", ["house-0", "rocket-1", "tree-1", "vase-1", "hat-0", "watermelon-0"])
def test_a_piece_fits_the_unit_frame_and_is_always_the_same(piece: str) -> None:
    parts = builders.build(piece)
    points = np.concatenate([part.points for part in parts])
    half, radius = np.abs(points).max(), np.linalg.norm(points, axis=1).max()
    assert half <= 0.75 + 1e-5
    assert radius <= 0.95 + 1e-5
    assert half == pytest.approx(0.75, abs=1e-4) or radius == pytest.approx(0.95, abs=1e-4)
    for part, again in zip(parts, builders.build(piece), strict=True):
        assert len(part.points) % 3 == 0
        assert len(part.normals) == len(part.uv) == len(part.points)
        assert np.linalg.norm(part.normals, axis=1) == pytest.approx(1.0, abs=1e-3)
        assert all(0.0 <= c <= 1.0 for c in part.colour)
        np.testing.assert_array_equal(part.points, again.points)


def test_instances_differ() -> None:
    first, second = builders.build("rocket-0"), builders.build("rocket-1")
    assert {part.colour for part in first} != {part.colour for part in second}


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
