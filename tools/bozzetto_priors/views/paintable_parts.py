"""Selection of the parts of a piece that take paint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bozzetto_priors.views import camera_matrices
from bozzetto_priors.views.rasteriser import Rasteriser
from bozzetto_priors.views.training_views import LUMA

LIKE, BLACK = 0.16, 0.1
"""Colour distance within one group, and the lightness below which a colour is black; see `what_to_paint`."""


@dataclass(frozen=True)
class Paint:
    """Paintable parts of a piece, and their lightness."""

    of_part: tuple[float, ...]
    """1 or 0 for each part."""
    luma: float
    """Mean lightness of the paintable parts, in [0, 1]."""


def what_to_paint(rasteriser: Rasteriser, parts: int) -> Paint:
    """Select the most visible group of similar colours of the loaded model, preferring one that is not black."""
    area, colour = np.zeros(parts), np.zeros((parts, 3))
    for azimuth in (20.0, 200.0):
        albedo, number = rasteriser.draw_numbers(camera_matrices.position(azimuth, 25.0, 3.2), parts)
        for part in np.unique(number[number >= 0]):
            shown = albedo[number == part]
            area[part] += len(shown)
            colour[part] += shown.sum(axis=0)
    visible = area > 0
    colour[visible] /= area[visible, None]
    area /= max(area.sum(), 1e-6)
    light = colour @ np.asarray(LUMA)
    hue = colour - light[:, None]
    place = np.concatenate([0.6 * light[:, None], 0.9 * hue], axis=1)
    first = np.argsort(-area)[:6]
    groups = [visible & (np.linalg.norm(place - place[i], axis=1) < LIKE) for i in first]
    likely = (0.5 if light[i] < BLACK else 1.0 for i in first)
    chroma = [min(4.0 * float(np.linalg.norm(hue[i])), 1.0) for i in first]
    strength = [s * (1.0 + 0.6 * c) for s, c in zip(likely, chroma, strict=True)]
    chosen = groups[max(range(len(groups)), key=lambda k: area[groups[k]].sum() * strength[k])]
    luma = float((light * area)[chosen].sum() / max(area[chosen].sum(), 1e-6))
    return Paint(tuple(chosen.astype(float)), luma)
