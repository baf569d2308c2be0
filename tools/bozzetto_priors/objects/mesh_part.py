"""Triangles of one material of a 3D model, and the unit frame of all models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HALF_SIDE, SPHERE_RADIUS = 0.75, 0.95


@dataclass(frozen=True)
class Part:
    """Triangles of one material, unindexed: `points`, `normals` [3T, 3] world, `uv` [3T, 2].

    `colour` is RGBA in [0, 1]; `texture` is uint8 [H, W, 4] (row 0 on top) or None.
    """

    points: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    colour: tuple[float, float, float, float]
    texture: np.ndarray | None


def normalise(low: np.ndarray, high: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, float]:
    """Return centre [3] and scale that map a model to the project's unit frame.

    The box `low`..`high` is centred at the origin; its longest half side becomes at most 0.75 and the sphere around the
    centre that contains `points` [N, 3] at most 0.95 in radius.
    """
    centre = (low + high) / 2
    half = float((high - low).max() / 2)
    radius = float(np.linalg.norm(points - centre, axis=1).max())
    return centre, min(HALF_SIDE / half, SPHERE_RADIUS / radius)
