"""Ask the photograph judge about the true models: how much it names of each piece, from eight sides.

Writes a JSON file: `pieces` has, for each phrase whose thing the judge knows, its key and the shares of the sides named
first and among the first five, once for renders of the flat albedo and once lit; `means` has the means over the things'
plain names. A sample of the prior cannot be expected to be named more often than the model it was made of.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import cameras
import catalogue
from objects import THINGS, Piece
from photo_judge import KNOWN, SIZE, PhotoJudge
from raster import Rasteriser
from render import load_piece

AZIMUTHS_DEG = tuple(range(0, 360, 45))
ELEVATION_DEG, DISTANCE = 15.0, 3.2
LIGHT, AMBIENT = (0.5, 0.25, 0.83), 0.72
"""Direction toward the light, about of length 1, and the brightness of what faces across it."""


def shade(albedo: np.ndarray, normal: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat and lit pictures "S S 3" in [0, 1] over white, of what `Rasteriser.draw` gives."""
    colour, cover = albedo / 255.0, alpha[..., None] / 255.0
    facing = ((normal / 127.5 - 1.0) @ np.asarray(LIGHT)).clip(-1.0, 1.0)[..., None]
    lit = colour * (AMBIENT + (1.0 - AMBIENT) * facing)
    return colour * cover + 1.0 - cover, lit * cover + 1.0 - cover


def views(rasteriser: Rasteriser) -> dict[str, Tensor]:
    """Pictures of the loaded model from eight sides, "8 3 192 192" in [0, 1], by how they are shaded."""
    drawn = [shade(*rasteriser.draw(cameras.position(a, ELEVATION_DEG, DISTANCE))) for a in AZIMUTHS_DEG]
    return {
        name: torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
        for name, pictures in zip(("flat", "lit"), zip(*drawn, strict=True), strict=True)
    }


def judged_pieces() -> list[tuple[str, Piece]]:
    """Name and piece of everything that the judge knows."""
    return [(thing.name, piece) for thing in THINGS if thing.name in KNOWN for piece in thing.pieces]


def means(rows: Sequence[dict], names: Sequence[str]) -> dict[str, float]:
    """Means of every share over the rows of the plain `names`, and their number."""
    plain = [row for row in rows if row["words"] in names]
    shares = [key for key in plain[0] if key.startswith("top")]
    return {"names": len(plain), **{key: sum(row[key] for row in plain) / len(plain) for key in shares}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--cache", type=Path, required=True, help="folder for unpacked models")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    args = parser.parse_args()
    judge, rasteriser = PhotoJudge.load(), Rasteriser(SIZE, supersample=3)
    furniture = catalogue.ensure_catalogues(args.data)
    entries = {entry.key: entry for entry in catalogue.read_entries(furniture)}
    rows: list[dict] = []
    for name, piece in judged_pieces():
        rasteriser.load(load_piece(piece, entries, furniture, args.cache))
        row: dict = {"name": name, "words": piece.words, "key": piece.key}
        for shading, images in views(rasteriser).items():
            first, five = judge.look(images, name)
            row |= {f"top1_{shading}": first.float().mean().item(), f"top5_{shading}": five.float().mean().item()}
        rows.append(row)
        print(json.dumps(row), flush=True)
    report = {"means": means(rows, [thing.name for thing in THINGS]), "pieces": rows}
    args.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps(report["means"]))


if __name__ == "__main__":
    main()
