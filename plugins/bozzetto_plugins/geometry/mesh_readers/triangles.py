"""Record and error shared by the mesh readers, and triangulation of polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

MOST_FACES = 2_000_000
"""Maximum number of triangles read from a file; unwrapping and baking more takes hours."""
MOST_VERTICES = 3 * MOST_FACES
SIMPLIFY = "Simplify it first, e.g. with Blender's Decimate modifier"


class MeshFileError(Exception):
    """Raised if a file cannot be read as a mesh. The message is a clause about the file, optionally with a cure."""


@dataclass(frozen=True)
class Triangles:
    """Triangles of a file, in its own axes and units, unvalidated."""

    vertices: Float[np.ndarray, "V 3"]
    """Vertex positions; may contain non-finite numbers."""
    faces: Int[np.ndarray, "T 3"]
    """Vertex indices; may be out of range."""


def check_face_count(count: int) -> None:
    """Check that the number of triangles is supported.

    Raises:
        MeshFileError: it exceeds `MOST_FACES`.
    """
    if count > MOST_FACES:
        raise MeshFileError(f"it has {count:,} triangles; at most {MOST_FACES:,} are read. {SIMPLIFY}")


def check_vertex_count(count: int) -> None:
    """Check that the number of vertices is supported.

    Raises:
        MeshFileError: it exceeds `MOST_VERTICES`.
    """
    if count > MOST_VERTICES:
        raise MeshFileError(f"it has {count:,} vertices; at most {MOST_VERTICES:,} are read. {SIMPLIFY}")


def fan(counts: Int[np.ndarray, "P"], corners: Int[np.ndarray, "C"]) -> Int[np.ndarray, "T 3"]:
    """Triangulate polygons as fans around their first corners.

    Args:
        counts: number of corners of each polygon; polygons with fewer than three are dropped.
        corners: vertex indices of all polygons, concatenated.

    Raises:
        MeshFileError: the triangles exceed `MOST_FACES`.
    """
    pieces = np.maximum(counts - 2, 0)
    check_face_count(int(pieces.sum()))
    starts = counts.cumsum() - counts
    owner = np.repeat(np.arange(len(counts)), pieces)
    number = np.arange(len(owner)) - np.repeat(pieces.cumsum() - pieces, pieces)
    first = starts[owner]
    triangles: np.ndarray = corners[np.stack([first, first + number + 1, first + number + 2], axis=-1)]
    return triangles
