"""Tests of the selection of paintable parts. Nothing is rendered with OpenGL."""

from __future__ import annotations

import numpy as np
import pytest

from bozzetto_priors.views import paintable_parts
from bozzetto_priors.views.training_views import LUMA


class Painted:
    """Renderer that draws parts as areas of one colour each."""

    def __init__(self, colours: list[tuple[float, ...]], shares: list[int]) -> None:
        self.albedo = np.repeat(np.asarray(colours), shares, axis=0)[None]
        self.number = np.repeat(np.arange(len(colours)), shares)[None]

    def draw_numbers(self, eye: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
        return self.albedo, self.number


def test_one_paints_what_shows_most_and_its_like_but_rather_not_what_is_black() -> None:
    black, red, dark_red, glass = (0.03, 0.03, 0.03), (0.8, 0.1, 0.1), (0.75, 0.1, 0.12), (0.7, 0.8, 0.9)
    paint = paintable_parts.what_to_paint(Painted([black, red, dark_red, glass], [40, 25, 10, 25]), 5)
    assert paint.of_part == (0.0, 1.0, 1.0, 0.0, 0.0)
    assert paint.luma == pytest.approx((25 * np.dot(red, LUMA) + 10 * np.dot(dark_red, LUMA)) / 35)
    assert paintable_parts.what_to_paint(Painted([black], [10]), 1).of_part == (1.0,)
