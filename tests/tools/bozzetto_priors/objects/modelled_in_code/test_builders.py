"""Tests of objects generated in code: invariants of every piece."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from bozzetto_priors.objects import thing_table
from bozzetto_priors.objects.modelled_in_code import builders

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
