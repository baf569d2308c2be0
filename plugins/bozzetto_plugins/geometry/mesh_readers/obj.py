"""Reader of Wavefront OBJ files: vertices and polygons. Materials, textures and other referenced files are ignored."""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator

import numpy as np

from bozzetto_plugins.geometry.mesh_readers.triangles import (
    MeshFileError,
    Triangles,
    check_face_count,
    check_vertex_count,
    fan,
)


def read_obj(data: bytes) -> Triangles:
    """Read all polygons of all objects as triangles.

    Raises:
        MeshFileError: a line cannot be parsed, or there are too many.
    """
    vertices, counts, corners = array("d"), array("q"), array("q")
    for number, line in _lines(data):
        words = line.split()
        if not words or words[0] not in (b"v", b"f"):
            continue
        try:
            if words[0] == b"v":
                x, y, z = map(float, words[1:4])
                vertices.extend((x, y, z))
                check_vertex_count(len(vertices) // 3)
                continue
            here = len(vertices) // 3
            face = [int(word.partition(b"/")[0]) for word in words[1:]]
            corners.extend([index + here if index < 0 else index - 1 for index in face])
            counts.append(len(face))
        except (ValueError, OverflowError) as error:
            raise MeshFileError(f"line {number} cannot be understood: {_shown(line)}") from error
        check_face_count(len(counts))
    return Triangles(
        np.array(vertices, dtype=np.float64).reshape(-1, 3),
        fan(np.array(counts, dtype=np.int64), np.array(corners, dtype=np.int64)),
    )


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield line numbers and lines; lines that end with a backslash are joined with the next."""
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    held, start = b"", 0
    for number, line in enumerate(io.BytesIO(data), 1):
        start = start or number
        stripped = line.rstrip(b"\r\n")
        if stripped.endswith(b"\\"):
            held += stripped[:-1] + b" "
            continue
        yield start, held + stripped
        held, start = b"", 0
    if held:
        yield start, held


def _shown(line: bytes) -> str:
    """Return the start of a line in printable form."""
    text = ascii(line[:60].decode("ascii", "replace"))
    return text + ("..." if len(line) > 60 else "")
