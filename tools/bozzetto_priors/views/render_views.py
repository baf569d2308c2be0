"""Render the pieces of `things.txt` from all around.

tools/priors render-views --data RUN/debian --out RUN/views

Writes one `.npz` per piece, so that an interrupted run continues where it stopped.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bozzetto_priors.command_line import step_parser
from bozzetto_priors.objects import furniture_catalogue
from bozzetto_priors.objects.piece_meshes import load_piece
from bozzetto_priors.objects.thing_table import PIECES
from bozzetto_priors.views import camera_matrices
from bozzetto_priors.views.paintable_parts import what_to_paint
from bozzetto_priors.views.rasteriser import Rasteriser, draw_views

COUNT, SIZE = 120, 128
ELEVATION_DEG, DISTANCE = (-15.0, 85.0), (2.8, 3.6)
GOLDEN_RATIO = 0.6180339887498949


def draw_cameras(count: int, seed: int) -> Float[np.ndarray, "V 3"]:
    """Draw azimuths all round, elevations (half of them low, half uniform by area), degrees, and distances."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        azimuth = number * GOLDEN_RATIO % 1.0 * 360.0 - 180.0
        sine = rng.uniform(*np.sin(np.radians(ELEVATION_DEG)))
        elevation = np.degrees(np.arcsin(sine)) if number % 2 else rng.uniform(ELEVATION_DEG[0], 50.0)
        rows.append((azimuth, elevation, rng.uniform(*DISTANCE)))
    return np.asarray(rows, "f4")


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("render-views", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    furniture = furniture_catalogue.ensure_catalogues(args.data)
    entries = {entry.key: entry for entry in furniture_catalogue.read_entries(furniture)}
    args.out.mkdir(parents=True, exist_ok=True)
    rasteriser = Rasteriser(SIZE)
    for words, piece in PIECES.items():
        path = args.out / f"{piece.key.replace('/', '__')}.npz"
        if path.exists():
            continue
        parts = load_piece(piece, entries, furniture, args.data / "models")
        rasteriser.load(parts)
        paint = what_to_paint(rasteriser, len(parts))
        rows = draw_cameras(COUNT, seed=zlib.crc32(piece.key.encode()))
        shown = draw_views(rasteriser, paint.of_part, [camera_matrices.position(*map(float, row)) for row in rows])
        corners = [np.min([p.points.min(0) for p in parts], 0), np.max([p.points.max(0) for p in parts], 0)]
        fresh = path.with_suffix(".tmp.npz")
        np.savez_compressed(
            fresh, albedo=shown["albedo"], normal=shown["normal"], camera=rows, main_luma=paint.luma,
            box=np.asarray(corners, "f4"),
        )  # fmt: skip
        fresh.replace(path)
        told = {"piece": piece.key, "words": words, "triangles": sum(len(part.points) for part in parts) // 3}
        print(json.dumps(told), flush=True)
