"""The record and the error of every reader of a mesh file, and polygons cut into triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

MOST_FACES = 2_000_000
"""Triangles read from a file at most; unwrapping and baking more takes hours."""
MOST_VERTICES = 3 * MOST_FACES
SIMPLIFY = "Simplify it first, e.g. with Blender's Decimate modifier"


class MeshFileError(Exception):
    """A file cannot be read as a mesh. The message is a clause about the file, perhaps a cure after a full stop."""


@dataclass(frozen=True)
class Triangles:
    """The triangles of a file, in its own axes and units, as they are written."""

    vertices: Float[np.ndarray, "V 3"]
    """Perhaps not finite."""
    faces: Int[np.ndarray, "T 3"]
    """Perhaps naming vertices that are not there."""


def check_face_count(count: int) -> None:
    """Make sure that so many triangles can be used.

    Raises:
        MeshFileError: they are more than `MOST_FACES`.
    """
    if count > MOST_FACES:
        raise MeshFileError(f"it has {count:,} triangles; at most {MOST_FACES:,} are read. {SIMPLIFY}")


def check_vertex_count(count: int) -> None:
    """Make sure that so many vertices can be used.

    Raises:
        MeshFileError: they are more than `MOST_VERTICES`.
    """
    if count > MOST_VERTICES:
        raise MeshFileError(f"it has {count:,} vertices; at most {MOST_VERTICES:,} are read. {SIMPLIFY}")


def fan(counts: Int[np.ndarray, "P"], corners: Int[np.ndarray, "C"]) -> Int[np.ndarray, "T 3"]:
    """Polygons cut into triangles around their first corners.

    Args:
        counts: corners of each polygon; those with fewer than three give nothing.
        corners: vertex numbers, polygon after polygon.

    Raises:
        MeshFileError: the triangles are more than `MOST_FACES`.
    """
    pieces = np.maximum(counts - 2, 0)
    check_face_count(int(pieces.sum()))
    starts = counts.cumsum() - counts
    owner = np.repeat(np.arange(len(counts)), pieces)
    number = np.arange(len(owner)) - np.repeat(pieces.cumsum() - pieces, pieces)
    first = starts[owner]
    triangles: np.ndarray = corners[np.stack([first, first + number + 1, first + number + 2], axis=-1)]
    return triangles
