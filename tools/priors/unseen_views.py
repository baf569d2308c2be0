"""Render views that no training has seen, for `evaluate_zero123.py`: random ones, and a ring around each piece.

Writes `random/` and `ring/` below the folder, in the format of `render.py`, drawn from other random numbers.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np
from render import draw_views, load_piece, save_atomically

import cameras
import catalogue
from objects import PIECES, Piece
from raster import Rasteriser

RING, ELEVATION_DEG, DISTANCE = 12, 15.0, 3.2
SEED = 0x5EED


def draw_ring(rasteriser: Rasteriser) -> dict[str, np.ndarray]:
    """Views evenly around the loaded model, azimuth 0 first."""
    rows = [(360.0 * i / RING, ELEVATION_DEG, DISTANCE) for i in range(RING)]
    drawn = [rasteriser.draw(cameras.position(*row)) for row in rows]
    albedo, normal, alpha = (np.stack(column) for column in zip(*drawn, strict=True))
    return {"albedo": albedo, "normal": normal, "alpha": alpha, "camera": np.asarray(rows, "f4")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--cache", type=Path, required=True, help="folder for unpacked models")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=20)
    parser.add_argument("keys", nargs="+", metavar="CATALOGUE/MODEL")
    args = parser.parse_args()
    furniture = catalogue.ensure_catalogues(args.data)
    entries = {entry.key: entry for entry in catalogue.read_entries(furniture)}
    pieces = {piece.key: piece for piece in PIECES.values()}
    rasteriser = Rasteriser()
    for name in ("random", "ring"):
        (args.out / name).mkdir(parents=True, exist_ok=True)
    for key in args.keys:
        rasteriser.load(load_piece(pieces.get(key, Piece(key, key)), entries, furniture, args.cache))
        file = f"{key.replace('/', '__')}.npz"
        save_atomically(args.out / "random" / file, draw_views(rasteriser, args.views, zlib.crc32(key.encode()) ^ SEED))
        save_atomically(args.out / "ring" / file, draw_ring(rasteriser))


if __name__ == "__main__":
    main()
