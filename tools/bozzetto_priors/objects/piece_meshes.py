"""Meshes of a piece: from a catalogue or built in code, turned to the front and merged by material."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bozzetto_priors.objects.furniture_catalogue import Entry, load_model, unpack
from bozzetto_priors.objects.mesh_part import Part
from bozzetto_priors.objects.modelled_in_code import builders
from bozzetto_priors.objects.thing_table import OWN, Piece


def load_piece(piece: Piece, entries: dict[str, Entry], furniture: Path, cache: Path) -> list[Part]:
    """Load the parts of a piece, its front toward world +x."""
    if piece.key.startswith(f"{OWN}/"):
        parts = builders.build(piece.key.removeprefix(f"{OWN}/"))
    else:
        entry = entries[piece.key]
        parts = load_model(unpack(entry, furniture, cache), entry.rotation, piece.min_alpha)
    angle = np.radians(piece.yaw_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]], "f4")
    return joined([replace(p, points=p.points @ turn.T, normals=p.normals @ turn.T) for p in parts])


def joined(parts: list[Part]) -> list[Part]:
    """Merge parts of equal material: some models have hundreds of parts."""
    alike: dict[object, list[Part]] = {}
    for part in parts:
        material = part.colour if part.texture is None else hash(part.texture.tobytes())
        alike.setdefault(material, []).append(part)
    return [
        replace(
            group[0],
            points=np.concatenate([p.points for p in group]),
            normals=np.concatenate([p.normals for p in group]),
            uv=np.concatenate([p.uv for p in group]),
        )
        for group in alike.values()
    ]
