"""Tests that the parts of a piece are merged by material and turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bozzetto_priors.objects import piece_meshes
from bozzetto_priors.objects.mesh_part import Part
from bozzetto_priors.objects.modelled_in_code import builders
from bozzetto_priors.objects.thing_table import Piece


def test_parts_of_one_material_become_one() -> None:
    def part(colour: tuple[float, ...], texture: np.ndarray | None = None) -> Part:
        points = np.zeros((3, 3), "f4")
        return Part(points=points, normals=points, uv=points[:, :2], colour=colour, texture=texture)

    picture = np.zeros((2, 2, 4), np.uint8)
    red, blue = (1.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)
    joined = piece_meshes.joined([part(red), part(blue), part(red), part(red, picture), part(blue, picture.copy())])
    assert [len(one.points) for one in joined] == [6, 3, 6]


def test_a_piece_made_in_code_is_turned_too() -> None:
    ahead, turned = (
        piece_meshes.load_piece(Piece("own/rocket-0", "rocket", yaw), {}, Path(), Path()) for yaw in (0.0, 90.0)
    )
    points, moved = (np.concatenate([part.points for part in parts]) for parts in (ahead, turned))
    np.testing.assert_allclose(moved, points[:, [1, 0, 2]] * [-1.0, 1.0, 1.0], atol=1e-6)
    assert sum(len(part.points) for part in builders.build("rocket-0")) == len(points)
