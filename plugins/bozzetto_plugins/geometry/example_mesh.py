"""Built-in example mesh: a plain chair."""

from __future__ import annotations

import trimesh

BOXES = (
    ((0.0, 0.0, 0.0), (1.0, 0.12, 1.0)),
    ((0.0, 0.56, -0.45), (1.0, 1.0, 0.1)),
    *(((x, -0.51, z), (0.1, 0.9, 0.1)) for x in (-0.45, 0.45) for z in (-0.45, 0.45)),
)
"""Centres and side lengths of seat, back and legs; y up, front +z. The boxes touch and do not overlap."""


def example_chair() -> trimesh.Trimesh:
    """Return the six boxes as one mesh."""
    parts = []
    for centre, sides in BOXES:
        part = trimesh.creation.box(extents=sides)
        part.apply_translation(centre)
        parts.append(part)
    chair = trimesh.util.concatenate(parts)
    assert isinstance(chair, trimesh.Trimesh)
    return chair
