"""Tests of the bytes of rendered views. Nothing is rendered with OpenGL."""

from __future__ import annotations

import numpy as np

from bozzetto_priors.views import rasteriser
from bozzetto_priors.views.rasteriser import Shown


class Grey:
    """Renderer that fills views of 2 x 2 pixels with grey, normals along (1, 1, 1) and the first part's paint."""

    def draw(self, eye: np.ndarray, paint: tuple[float, ...], fov_y_deg: float) -> Shown:
        ones = np.ones((2, 2, 1), "f4")
        return Shown(0.5 * np.repeat(ones, 3, -1), np.repeat(ones, 3, -1), paint[0] * ones, ones)


def test_what_is_drawn_is_in_bytes() -> None:
    shown = rasteriser.draw_views(Grey(), (0.25,), [np.ones(3), np.ones(3)])
    assert shown["albedo"].shape == shown["normal"].shape == (2, 2, 2, 4)
    assert shown["albedo"][0, 0, 0].tolist() == [128, 128, 128, 255]
    assert shown["normal"][0, 0, 0].tolist() == [255, 255, 255, 64]
