"""Tests that inward faces are flipped, and that ambiguous ones are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from bozzetto.types import TriangleMesh
from bozzetto_plugins.geometry.facing import patches, turned_outward


def mesh_of(shape: trimesh.Trimesh) -> TriangleMesh:
    return TriangleMesh(torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces.copy()))


def inverted(shape: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(shape.vertices, shape.faces[:, ::-1], process=False)


BALL = trimesh.creation.icosphere(2)
CYLINDER = trimesh.creation.cylinder(1.0, 2.0)
CUP = trimesh.Trimesh(CYLINDER.vertices, CYLINDER.faces[CYLINDER.face_normals[:, 2] < 0.5])
HOLLOW = trimesh.util.concatenate([BALL, inverted(trimesh.creation.icosphere(2, 0.5))])
SHEET = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
INSIDE = trimesh.util.concatenate([BALL, trimesh.creation.icosphere(2, 0.5)])


@pytest.mark.parametrize("shape", [BALL, CUP, HOLLOW, SHEET, INSIDE], ids=["ball", "cup", "hollow", "sheet", "inside"])
def test_what_looks_outward_stays(shape: trimesh.Trimesh) -> None:
    mesh = mesh_of(shape)
    found, turned = turned_outward(mesh)
    assert turned == 0 and torch.equal(found.faces, mesh.faces)


@pytest.mark.parametrize("shape", [BALL, CUP], ids=["ball", "cup"])
def test_what_looks_inward_is_turned_whole(shape: trimesh.Trimesh) -> None:
    found, turned = turned_outward(mesh_of(inverted(shape)))
    assert turned == len(shape.faces) and torch.equal(found.faces, torch.tensor(shape.faces))


def test_only_the_part_that_looks_inward_is_turned() -> None:
    beside = inverted(BALL.copy().apply_translation((3.0, 0.0, 0.0)))
    found, turned = turned_outward(mesh_of(trimesh.util.concatenate([BALL, beside])))
    assert turned == len(BALL.faces)
    assert trimesh.Trimesh(found.vertices, found.faces).volume == pytest.approx(2.0 * BALL.volume, rel=1e-5)


def test_faces_wound_at_random_become_one_solid() -> None:
    faces = np.array(BALL.faces)
    some = np.random.default_rng(0).random(len(faces)) < 0.3
    faces[some] = faces[some][:, ::-1]
    found, turned = turned_outward(mesh_of(trimesh.Trimesh(BALL.vertices, faces, process=False)))
    assert turned == some.sum()
    assert trimesh.Trimesh(found.vertices, found.faces).volume == pytest.approx(BALL.volume, rel=1e-5)


def test_patches_are_joined_by_edges_walked_both_ways() -> None:
    patch, closed = patches(np.array(HOLLOW.faces), len(HOLLOW.vertices))
    assert len(set(patch)) == 2 and closed.tolist() == [True, True]
    patch, closed = patches(np.array(SHEET.faces), 4)
    assert patch.tolist() == [0, 0] and closed.tolist() == [False]
    patch, closed = patches(np.array([[0, 1, 2], [0, 3, 2]]), 4)
    assert len(set(patch)) == 2, "the second is turned over"
