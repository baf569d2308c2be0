"""What the photograph judge is asked about the true models: shading and means; nothing is drawn."""

from __future__ import annotations

import numpy as np
import pytest

import photo_truth
from photo_judge import KNOWN


def test_lit_pictures_are_dark_where_they_face_away_and_white_where_nothing_is() -> None:
    albedo = np.full((1, 3, 3), 200, np.uint8)
    light = np.asarray(photo_truth.LIGHT) / np.linalg.norm(photo_truth.LIGHT)
    normal = np.round(np.stack([light, -light, light])[None] * 127.5 + 127.5).astype(np.uint8)
    flat, lit = photo_truth.shade(albedo, normal, np.array([[255, 255, 0]], np.uint8))
    assert flat[0, :, 0] == pytest.approx([200 / 255, 200 / 255, 1.0])
    assert lit[0, :, 0] == pytest.approx([200 / 255, 200 / 255 * 0.44, 1.0], abs=0.01)


def test_every_piece_of_a_known_thing_is_judged() -> None:
    pieces = photo_truth.judged_pieces()
    assert {name for name, _ in pieces} == set(KNOWN)
    assert ("chair", "wooden chair") in [(name, piece.words) for name, piece in pieces]


def test_means_are_over_plain_names() -> None:
    rows = [{"words": "car", "top1_lit": 1.0}, {"words": "toy car", "top1_lit": 0.0}, {"words": "cat", "top1_lit": 0.5}]
    assert photo_truth.means(rows, ["car", "cat", "dog"]) == {"names": 2, "top1_lit": 0.75}
