"""Captions of the training views, the colours they name, and the words they teach to ignore."""

from __future__ import annotations

import random

from cameras import near_border, view_word, which_side
from objects import SYNONYMS

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


PREFIXES = ("a photo of", "a dslr photo of", "a picture of", "a 3d model of", "a rendering of", "an image of")
FILLERS = (
    "big", "small", "tiny", "large", "old", "new", "cute", "funny", "shiny", "wooden", "metal", "plastic", "golden",
    "realistic", "detailed", "highly", "beautiful", "simple", "cartoon", "delicious", "modern", "antique", "high",
    "quality", "style", "studio", "lighting", "background", "standing", "sitting", "isolated", "dslr", "photo",
    "picture", "image", "rendering", "drawing", "3d", "model", "of", "with", "on", "in", "and", "the", "at", "for",
)  # fmt: skip
"""Words of prompts that say nothing this prior knows; a share of the captions has some, so that it passes over them."""
SOUNDS = ("bcdfghjklmnprstvwz", "aeiouy")


def draw_filler(rng: random.Random) -> str:
    """A word that means nothing here: of `FILLERS`, or one nobody has seen."""
    if rng.random() < 0.6:
        return rng.choice(FILLERS)
    return "".join(rng.choice(SOUNDS[(i + 1) % 2]) for i in range(rng.randint(3, 8)))


def add_fillers(rng: random.Random, text: str) -> str:
    """`text`, a caption without a view, with words to be ignored before it, in it or behind it."""
    words = " ".join(draw_filler(rng) for _ in range(rng.randint(1, 2)))
    place = rng.random()
    if place < 0.35:
        return f"{rng.choice(PREFIXES)} {text}"
    if place < 0.75:
        article, noun = text.split(" ", 1)
        return f"{article} {words} {noun}"
    return f"{text} {words}"


def draw_name(rng: random.Random, name: str) -> str:
    """`name`, or in three of ten captions another word for it."""
    others = [word for word, known in SYNONYMS.items() if known == name]
    return rng.choice(others) if others and rng.random() < 0.3 else name


def draw_caption(rng: random.Random, name: str, color: str | None, azimuth_deg: float, elevation_deg: float) -> str:
    """A training caption: 10 % empty (for guidance), 5 % of the others without the view; two in three sides say which.

    Where two view words could be said, mostly none is: words mean more if they are said of clear views. One caption in
    eight has words to be ignored.
    """
    if rng.random() < 0.10:
        return ""
    view = view_word(azimuth_deg, elevation_deg)
    if view == "side" and rng.random() < 2 / 3:
        view = which_side(azimuth_deg)
    text = caption(draw_name(rng, name), color)
    if rng.random() < 0.125:
        text = add_fillers(rng, text)
    silent = 0.75 if near_border(azimuth_deg, elevation_deg) else 0.05
    return text if rng.random() < silent else f"{text}, {view} view"


def all_captions(names: list[str]) -> list[str]:
    """Every caption of known words alone that the training can draw, the empty one first."""
    colors: list[str | None] = [None, *COLORS]
    views: list[str | None] = [None, *VIEWS]
    words = [*names, *(word for word, name in SYNONYMS.items() if name in names)]
    return ["", *(caption(n, c, v) for n in words for c in colors for v in views)]
