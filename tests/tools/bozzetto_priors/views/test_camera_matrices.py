"""Tests of the cameras' axes and field of view."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bozzetto_priors.views import camera_matrices


def test_camera_axes() -> None:
    eye = camera_matrices.position(0.0, 0.0, 3.2)
    assert eye == pytest.approx([3.2, 0.0, 0.0])
    view = camera_matrices.view_matrix(eye)
    assert np.linalg.det(view[:3, :3]) == pytest.approx(1.0)
    assert view @ [0, 0, 0, 1] == pytest.approx([0, 0, -3.2, 1])  # looks along -z
    assert view @ [0, 1, 0, 1] == pytest.approx([1, 0, -3.2, 1])  # world +y is to the right in the front view
    assert view @ [0, 0, 1, 1] == pytest.approx([0, 1, -3.2, 1])
    side = camera_matrices.position(90.0, 30.0, 1.0)
    assert side == pytest.approx([0.0, math.cos(math.radians(30)), 0.5], abs=1e-9)


def test_field_of_view_meets_the_image_border() -> None:
    edge = 3.0 * math.tan(math.radians(20))
    clip = camera_matrices.projection_matrix(40.0) @ [0, edge, -3.0, 1]
    assert clip[1] / clip[3] == pytest.approx(1.0)
