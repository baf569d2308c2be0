"""Render the pieces of `objects.py`: albedo, normal, alpha and cameras of many views per piece.

Writes one `.npz` per piece (uint8 arrays [V, S, S, 3|3|1]-like and float32 cameras [V, 3]), so a
broken-off run goes on where it stopped. Azimuths are stratified over the circle.
"""

from __future__ import annotations

import argparse
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

import cameras
import catalogue
import models
from objects import OWN, THINGS, Piece
from raster import Rasteriser


def turn_parts(parts: list[catalogue.Part], yaw_deg: float) -> list[catalogue.Part]:
    """Turn parts about world z by `yaw_deg` (counter-clockwise seen from above)."""
    a = np.radians(yaw_deg)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]], "f4")
    return [replace(p, points=p.points @ turn.T, normals=p.normals @ turn.T) for p in parts]


def draw_views(rasteriser: Rasteriser, views: int, seed: int) -> dict[str, np.ndarray]:
    """Random views of the loaded model; cameras are rows (azimuth, elevation in degrees, distance)."""
    rng = np.random.default_rng(seed)
    rows, albedo, normal, alpha = [], [], [], []
    for i in range(views):
        _, elevation, distance = cameras.draw_camera(rng)
        azimuth = (i + rng.random()) * 360.0 / views - 180.0
        a, n, o = rasteriser.draw(cameras.position(azimuth, elevation, distance))
        rows.append((azimuth, elevation, distance))
        albedo.append(a)
        normal.append(n)
        alpha.append(o)
    return {
        "albedo": np.stack(albedo),
        "normal": np.stack(normal),
        "alpha": np.stack(alpha),
        "camera": np.asarray(rows, "f4"),
    }


def save_atomically(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an `.npz` next to `path`, then rename it."""
    scratch = path.with_suffix(".tmp.npz")
    np.savez_compressed(scratch, **arrays)
    scratch.replace(path)


def load_piece(piece: Piece, entries: dict[str, catalogue.Entry], furniture: Path, cache: Path) -> list[catalogue.Part]:
    """The parts of a piece, its front toward world +x."""
    if piece.key.startswith(f"{OWN}/"):
        return turn_parts(models.build(piece.key.removeprefix(f"{OWN}/")), piece.yaw_deg)
    entry = entries[piece.key]
    parts = catalogue.load_model(catalogue.unpack(entry, furniture, cache), entry.rotation, piece.min_alpha)
    return turn_parts(parts, piece.yaw_deg)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=144)
    parser.add_argument("--part", default="0/1", help="i/n: render every n-th piece from the i-th")
    args = parser.parse_args()
    furniture = catalogue.ensure_catalogues(args.data)
    entries = {e.key: e for e in catalogue.read_entries(furniture)}
    args.out.mkdir(parents=True, exist_ok=True)
    pieces = [piece for thing in THINGS for piece in thing.pieces]
    first, step = (int(v) for v in args.part.split("/"))
    rasteriser = Rasteriser()
    for piece in pieces[first::step]:
        path = args.out / f"{piece.key.replace('/', '__')}.npz"
        if path.exists():
            continue
        rasteriser.load(load_piece(piece, entries, furniture, args.out / "models"))
        save_atomically(path, draw_views(rasteriser, args.views, seed=zlib.crc32(piece.key.encode())))
        print(json.dumps({"piece": piece.key, "words": piece.words, "views": args.views}), flush=True)


if __name__ == "__main__":
    main()
