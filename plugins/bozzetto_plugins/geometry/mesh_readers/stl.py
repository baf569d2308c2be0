"""Reader of binary and ASCII STL files."""

from __future__ import annotations

import io
import struct
from array import array

import numpy as np

from bozzetto_plugins.geometry.mesh_readers.triangles import MOST_FACES, MeshFileError, Triangles, check_face_count

HEADER, RECORD = 84, 50
"""Bytes of a binary file's header including the count, and of one triangle."""


def read_stl(data: bytes) -> Triangles:
    """Read the triangles, with three vertices each.

    Raises:
        MeshFileError: the file is truncated, or a line cannot be parsed.
    """
    count = struct.unpack_from("<I", data, 80)[0] if len(data) >= HEADER else 0
    if len(data) >= HEADER and len(data) == HEADER + RECORD * count:
        return _binary(data, count)
    if data.lstrip()[:5].lower() == b"solid":
        return _ascii(data)
    if len(data) < HEADER + RECORD * max(count, 1):
        held = max(len(data) - HEADER, 0) // RECORD
        raise MeshFileError(
            f"its header claims {count:,} triangles, and the file holds {held:,}: it is cut off or damaged"
        )
    return _binary(data, count)


def _binary(data: bytes, count: int) -> Triangles:
    check_face_count(count)
    records = np.frombuffer(
        data, dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")], count=count, offset=HEADER
    )
    return _separate(records["corners"].reshape(-1, 3).astype(np.float64))


def _ascii(data: bytes) -> Triangles:
    values = array("d")
    for number, line in enumerate(io.BytesIO(data), 1):
        words = line.split()
        if not words or words[0].lower() != b"vertex":
            continue
        try:
            x, y, z = map(float, words[1:4])
        except ValueError as error:
            raise MeshFileError(f"line {number} cannot be understood") from error
        values.extend((x, y, z))
        if len(values) > 9 * MOST_FACES:
            check_face_count(len(values) // 9)
    if len(values) % 9:
        raise MeshFileError("it ends within a triangle: it is cut off")
    return _separate(np.array(values, dtype=np.float64).reshape(-1, 3))


def _separate(vertices: np.ndarray) -> Triangles:
    return Triangles(vertices, np.arange(len(vertices), dtype=np.int64).reshape(-1, 3))
