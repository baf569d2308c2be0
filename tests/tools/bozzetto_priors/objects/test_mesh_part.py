"""Tests of the unit frame of models."""

from __future__ import annotations

import numpy as np
import pytest

from bozzetto_priors.objects import mesh_part


@pytest.mark.parametrize("size", [(2.0, 1.0, 0.5), (4.0, 4.0, 4.0), (0.01, 0.02, 0.01)])
def test_normalise_fits_cube_and_sphere(size: tuple[float, float, float]) -> None:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * size + 7.0
    centre, scale = mesh_part.normalise(corners.min(0), corners.max(0), corners)
    fitted = (corners - centre) * scale
    half, radius = np.abs(fitted).max(), np.linalg.norm(fitted, axis=1).max()
    assert half <= 0.75 + 1e-9
    assert radius <= 0.95 + 1e-9
    assert half == pytest.approx(0.75) or radius == pytest.approx(0.95)
    assert fitted.mean(0) == pytest.approx([0, 0, 0], abs=1e-9)
