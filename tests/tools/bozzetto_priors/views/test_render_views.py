"""Tests of the cameras of the training views. Nothing is rendered."""

from __future__ import annotations

import numpy as np

from bozzetto_priors.views import render_views


def test_cameras_are_drawn_all_round_and_always_the_same() -> None:
    rows = render_views.draw_cameras(120, seed=3)
    np.testing.assert_array_equal(rows, render_views.draw_cameras(120, seed=3))
    assert not np.array_equal(rows, render_views.draw_cameras(120, seed=4))
    azimuth, elevation, distance = rows.T
    assert np.diff(np.sort(azimuth)).max() < 8.0 and azimuth.min() >= -180.0 and azimuth.max() < 180.0
    assert elevation.min() >= render_views.ELEVATION_DEG[0] and 60.0 < elevation.max() <= render_views.ELEVATION_DEG[1]
    assert distance.min() >= render_views.DISTANCE[0] and distance.max() <= render_views.DISTANCE[1]
