"""Reader of ASCII OFF files, with or without normals and colours."""

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


def read_off(data: bytes) -> Triangles:
    """Read all polygons as triangles.

    Raises:
        MeshFileError: the file is truncated, or a line cannot be parsed.
    """
    rows = _rows(data)
    words = next(rows, [])
    if words and words[0].upper().endswith(b"OFF"):
        if words[0].upper() in (b"4OFF", b"NOFF4") or b"BINARY" in [word.upper() for word in words]:
            raise MeshFileError("it is a binary or four-dimensional OFF file, which is not read")
        words = words[1:] or next(rows, [])
    try:
        vertex_count, face_count = int(words[0]), int(words[1])
        if vertex_count < 0 or face_count < 0 or 2 * (vertex_count + face_count) > len(data):
            raise MeshFileError(
                f"its header claims {vertex_count:,} vertices and {face_count:,} faces, for which the file is too short"
            )
        check_face_count(face_count)
        check_vertex_count(vertex_count)
        vertices, counts, corners = array("d"), array("q"), array("q")
        for _ in range(vertex_count):
            x, y, z = map(float, next(rows)[:3])
            vertices.extend((x, y, z))
        for _ in range(face_count):
            row = next(rows)
            count = int(row[0])
            face = list(map(int, row[1 : 1 + count]))
            if count < 0 or len(face) != count:
                raise MeshFileError("a face has fewer corners than it declares")
            counts.append(count)
            corners.extend(face)
    except StopIteration as error:
        raise MeshFileError("it ends before all its vertices and faces: it is cut off") from error
    except (ValueError, IndexError, OverflowError) as error:
        raise MeshFileError("one of its lines cannot be understood") from error
    return Triangles(
        np.array(vertices, dtype=np.float64).reshape(-1, 3),
        fan(np.array(counts, dtype=np.int64), np.array(corners, dtype=np.int64)),
    )


def _rows(data: bytes) -> Iterator[list[bytes]]:
    """Yield the words of each non-empty line, without comments."""
    for line in io.BytesIO(data):
        words = line.partition(b"#")[0].split()
        if words:
            yield words
