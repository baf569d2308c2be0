"""Tests of the image similarity measure, in closed form."""

from __future__ import annotations

import pytest
import torch

from bozzetto.math.image_similarity import psnr_db


@pytest.mark.parametrize(("error", "expected"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0), (0.0, 100.0)])
def test_a_constant_error_has_a_known_psnr(error: float, expected: float) -> None:
    picture = torch.zeros(3, 4, 3)
    assert psnr_db(picture, picture + error).item() == pytest.approx(expected, abs=1e-3)
