"""Tests of the reader of furniture catalogues: axes and properties."""

from __future__ import annotations

import numpy as np
import pytest

from bozzetto_priors.objects import furniture_catalogue


def test_model_frame_becomes_world_frame_unmirrored() -> None:
    axes = np.eye(3)
    world = furniture_catalogue.to_world(axes)
    assert world[2] == pytest.approx([1, 0, 0])  # the model's front +z is the world's front +x
    assert world[1] == pytest.approx([0, 0, 1])
    assert np.linalg.det(world) == pytest.approx(1.0)


def test_properties_are_read_with_escapes() -> None:
    text = "# note\nname#1=Caf\\u00e9 chair\ntags#1=a,\\\n  b\nmodel#1=/x/y\\:z.obj\n"
    assert furniture_catalogue.read_properties(text) == {
        "name#1": "Café chair",
        "tags#1": "a,b",
        "model#1": "/x/y:z.obj",
    }
