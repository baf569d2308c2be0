"""Training captions: names of things, colours, and words without meaning for the prior."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bozzetto_priors.objects.thing_table import PIECES, SYNONYMS

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
    "grey": (0.50, 0.50, 0.50),
    "gray": (0.50, 0.50, 0.50),
    "golden": (0.85, 0.65, 0.15),
    "silver": (0.75, 0.77, 0.80),
    "turquoise": (0.15, 0.75, 0.75),
    "beige": (0.88, 0.80, 0.65),
    "dark blue": (0.08, 0.12, 0.45),
    "light blue": (0.50, 0.75, 0.95),
    "dark green": (0.06, 0.30, 0.12),
    "light green": (0.60, 0.85, 0.50),
    "dark red": (0.45, 0.05, 0.07),
}
NAMES: dict[str, int] = {
    **{words: row for row, words in enumerate(PIECES, start=1)},
    **{word: list(PIECES).index(name) + 1 for word, name in SYNONYMS.items()},
}
"""Row of the memory for each phrase; row 0 is empty."""
PREFIXES = (
    "a photo of", "a dslr photo of", "a picture of", "a 3d model of", "a rendering of", "an image of",
    "a zoomed out dslr photo of", "a high quality 3d render of", "a beautiful",
)  # fmt: skip
SUFFIXES = (
    "front view", "side view", "back view", "overhead view", "left side view", "right side view", "high quality",
    "highly detailed", "3d model", "white background", "studio lighting", "8k",
)  # fmt: skip
_EMPTY_WORDS = (
    "big", "small", "tiny", "large", "old", "new", "cute", "funny", "shiny", "nice", "realistic", "detailed", "highly",
    "beautiful", "simple", "delicious", "modern", "high", "quality", "style", "standing", "isolated", "single",
    "famous", "tasty", "matte", "colorful", "of", "with", "on", "in", "and", "the", "at", "for",
)  # fmt: skip
_MEANT = {word for name in (*NAMES, *COLORS) for word in name.split()}
FILLERS = tuple(word for word in _EMPTY_WORDS if word not in _MEANT)
"""Prompt words without meaning for this prior; a share of the captions contains some, so that it ignores them."""
SOUNDS = ("bcdfghjklmnprstvwz", "aeiouy")


@dataclass(frozen=True)
class Caption:
    """Text with its meaning."""

    text: str
    thing: int
    """Row of the memory."""
    color: str | None = None
    """Key of `COLORS`, or None."""


def caption(name: str, color: str | None = None) -> str:
    """Return `a [COLOR] NAME`, with "an" before a vowel."""
    noun = f"{color} {name}" if color else name
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plain_captions() -> list[Caption]:
    """Return every name and phrase in every colour and without one, and the empty text."""
    colors: list[str | None] = [None, *COLORS]
    return [Caption("", 0), *(Caption(caption(n, c), row, c) for n, row in NAMES.items() for c in colors)]


def draw_filler(rng: random.Random) -> str:
    """Draw a word without meaning: one of `FILLERS`, or an invented one."""
    if rng.random() < 0.6:
        return rng.choice(FILLERS)
    return "".join(rng.choice(SOUNDS[(i + 1) % 2]) for i in range(rng.randint(3, 8)))


def draw_caption(rng: random.Random) -> Caption:
    """Draw a caption; one in fifty is empty."""
    if rng.random() < 0.02:
        return Caption("", 0)
    name, row = rng.choice(tuple(NAMES.items()))
    color = rng.choice(tuple(COLORS)) if rng.random() < 0.6 else None
    behind = color is not None and rng.random() < 0.08
    noun = f"{color} {name}" if color and not behind else name
    if rng.random() < 0.25:
        noun = f"{draw_filler(rng)} {noun}"
    if color and not behind and rng.random() < 0.1:
        noun = f"{color} {draw_filler(rng)} {name}"
    article = rng.choice(("the ", "one ", "")) if rng.random() < 0.15 else "an " if noun[0] in "aeiou" else "a "
    text = article + noun + (f" in {color}" if behind else "")
    if rng.random() < 0.15:
        text = f"{rng.choice(PREFIXES)} {text}"
    if rng.random() < 0.2:
        text += f", {rng.choice(SUFFIXES)}"
    elif rng.random() < 0.1:
        text += f" {draw_filler(rng)} {draw_filler(rng)}"
    return Caption(text, row, color)
