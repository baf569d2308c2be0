"""The UV layout of a mesh as a picture: the edges of its triangles over its texture. No torch, no viser."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer, UInt8
from PIL import Image, ImageDraw

SIDE = 1024
"""Longer side of the picture, pixels."""
PAPER = (255, 255, 255)
"""Colour below the edges of a mesh without a texture."""
SHADE = 0.55
"""How much of the texture's colours is left below the edges, so that these are seen on any texture."""
LINE = (255, 214, 10)
LINE_ON_PAPER = (40, 40, 40)
MANY = 5_000
"""Edges from which they are drawn thinly."""
FARTHEST = 16.0
"""Coordinates from which an edge is left out."""


def uv_layout(
    uv: Float[np.ndarray, "V 2"], faces: Integer[np.ndarray, "F 3"], texture: UInt8[np.ndarray, "H W 3"] | None
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the picture of a layout; u to the right, v up, and 0 to 1 is the whole picture.

    Edges outside of it are not drawn, and edges of several triangles once.
    """
    if texture is None:
        picture = Image.new("RGB", (SIDE, SIDE), PAPER)
    else:
        picture = Image.fromarray((texture * SHADE).astype(np.uint8))
        scale = SIDE / max(picture.size)
        picture = picture.resize((max(1, round(scale * picture.width)), max(1, round(scale * picture.height))))
    edges = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    usable = (np.abs(uv) < FARTHEST).all(axis=1)  # no number is not
    at = np.where(usable[:, None], uv, 0.0) * (1.0, -1.0) + (0.0, 1.0)
    ends = (at * (picture.width - 1, picture.height - 1)).round()[edges[usable[edges].all(axis=1)]].reshape(-1, 4)
    drawing, color = ImageDraw.Draw(picture), LINE_ON_PAPER if texture is None else LINE
    for line in ends.tolist():
        drawing.line(line, fill=color, width=2 if len(ends) < MANY else 1)
    return np.asarray(picture)
