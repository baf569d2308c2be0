"""Captions of the training views and the colours they name."""

from __future__ import annotations

import random

from cameras import view_word, which_side

VIEWS = ("front", "side", "back", "overhead", "left side", "right side")
COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.10, 0.10),
    "orange": (0.95, 0.50, 0.10),
    "yellow": (0.95, 0.85, 0.15),
    "green": (0.15, 0.60, 0.20),
    "blue": (0.15, 0.25, 0.85),
    "purple": (0.50, 0.15, 0.65),
    "pink": (0.95, 0.55, 0.70),
    "brown": (0.45, 0.28, 0.15),
    "black": (0.08, 0.08, 0.08),
    "white": (0.95, 0.95, 0.95),
}


def caption(name: str, color: str | None = None, view: str | None = None) -> str:
    """`a [COLOR] NAME[, VIEW view]`, with "an" before a vowel."""
    noun = f"{color} {name}" if color else name
    article = "an" if noun[0] in "aeiou" else "a"
    return f"{article} {noun}, {view} view" if view else f"{article} {noun}"


def draw_caption(rng: random.Random, name: str, color: str | None, azimuth_deg: float, elevation_deg: float) -> str:
    """A training caption: 10 % empty (for guidance), 5 % of the others without the view; half the sides say which."""
    if rng.random() < 0.10:
        return ""
    view = view_word(azimuth_deg, elevation_deg)
    if view == "side" and rng.random() < 0.5:
        view = which_side(azimuth_deg)
    return caption(name, color, None if rng.random() < 0.05 else view)


def all_captions(names: list[str]) -> list[str]:
    """Every caption the training can draw, the empty one first."""
    colors: list[str | None] = [None, *COLORS]
    views: list[str | None] = [None, *VIEWS]
    return ["", *(caption(n, c, v) for n in names for c in colors for v in views)]
