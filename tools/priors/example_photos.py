"""Photos of catalogue pieces, cut out on transparency: what `configs/photos` and the documentation show.

The camera is one the priors know: field of view 40 degrees, azimuth 20, elevation 15, distance 3.2.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from data import shade
from PIL import Image
from render import load_piece

import cameras
import catalogue
from objects import PIECES, Piece
from raster import Rasteriser

AZIMUTH_DEG, ELEVATION_DEG, DISTANCE = 20.0, 15.0, 3.2
LIGHT = np.array([0.62, 0.25, 0.74], "f4")
AMBIENT = 0.55


def photo(albedo: np.ndarray, normal: np.ndarray, alpha: np.ndarray) -> Image.Image:
    """A lit picture with transparency, of uint8 arrays as `Rasteriser.draw` gives them."""
    import torch

    planes = [torch.from_numpy(a.astype("f4").transpose(2, 0, 1))[None] for a in (albedo, normal)]
    lit = shade(planes[0] / 255.0, planes[1] / 127.5 - 1.0, torch.from_numpy(LIGHT)[None], torch.tensor([AMBIENT]))
    pixels = (lit[0].permute(1, 2, 0).numpy() * 255.0).round().astype(np.uint8)
    return Image.fromarray(np.dstack([pixels, alpha]), "RGBA")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder for unpacked models")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("pieces", nargs="+", metavar="NAME=CATALOGUE/MODEL", help="a file's name and what it shows")
    args = parser.parse_args()
    furniture = catalogue.ensure_catalogues(args.data)
    entries = {entry.key: entry for entry in catalogue.read_entries(furniture)}
    pieces = {piece.key: piece for piece in PIECES.values()}
    args.out.mkdir(parents=True, exist_ok=True)
    rasteriser = Rasteriser(args.size)
    for item in args.pieces:
        name, _, key = item.partition("=")
        rasteriser.load(load_piece(pieces.get(key, Piece(key, name)), entries, furniture, args.cache))
        picture = photo(*rasteriser.draw(cameras.position(AZIMUTH_DEG, ELEVATION_DEG, DISTANCE)))
        scratch = args.out / f".{name}.tmp.png"
        picture.save(scratch, optimize=True)
        scratch.replace(args.out / f"{name}.png")


if __name__ == "__main__":
    main()
