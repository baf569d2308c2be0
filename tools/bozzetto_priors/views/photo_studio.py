"""Renderer of lit photos of a piece with transparency.

The camera is that of the recipes' cpu profiles: field of view 40 degrees, elevation 15, distance 3.2; azimuth 20.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bozzetto_priors.objects import furniture_catalogue
from bozzetto_priors.objects.piece_meshes import load_piece
from bozzetto_priors.objects.thing_table import PIECES, Piece
from bozzetto_priors.views import camera_matrices
from bozzetto_priors.views.rasteriser import Rasteriser, Shown

AZIMUTH_DEG, ELEVATION_DEG, DISTANCE = 20.0, 15.0, 3.2
LIGHT = np.array([0.62, 0.25, 0.74], "f4")
AMBIENT = 0.55


class Studio:
    """Renderer of catalogue pieces, known to the prior or not."""

    def __init__(self, data: Path, size: int) -> None:
        self.data, self.rasteriser = data, Rasteriser(size)
        self.furniture = furniture_catalogue.ensure_catalogues(data)
        self.entries = {entry.key: entry for entry in furniture_catalogue.read_entries(self.furniture)}
        self.pieces = {piece.key: piece for piece in PIECES.values()}
        self.parts = 0

    def place(self, key: str) -> None:
        """Load the piece `CATALOGUE/MODEL` or `own/NAME-N`."""
        piece = self.pieces.get(key, Piece(key, key))
        parts = load_piece(piece, self.entries, self.furniture, self.data / "models")
        self.rasteriser.load(parts)
        self.parts = len(parts)

    def look(self, azimuth_deg: float, elevation_deg: float = ELEVATION_DEG) -> Shown:
        """Render the piece from one side."""
        return self.rasteriser.draw(camera_matrices.position(azimuth_deg, elevation_deg, DISTANCE), [0.0] * self.parts)

    def photo(self, azimuth_deg: float = AZIMUTH_DEG, elevation_deg: float = ELEVATION_DEG) -> Image.Image:
        """Return a lit image with transparency."""
        shown = self.look(azimuth_deg, elevation_deg)
        light = AMBIENT + (1.0 - AMBIENT) * np.maximum(shown.normal @ (LIGHT / np.linalg.norm(LIGHT)), 0.0)
        pixels = np.concatenate([shown.albedo * light[..., None], shown.alpha], axis=-1)
        return Image.fromarray(np.round(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8), "RGBA")
