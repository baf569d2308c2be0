"""Reader of ASCII and binary PLY files: the elements `vertex` and `face`; other elements are skipped."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bozzetto_plugins.geometry.mesh_readers.triangles import (
    MeshFileError,
    Triangles,
    check_face_count,
    check_vertex_count,
    fan,
)

LARGEST_HEADER = 1 << 16
TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
CORNERS = ("vertex_indices", "vertex_index")


@dataclass(frozen=True)
class Property:
    """Scalar property, or with `count_type` a list property."""

    name: str
    type: str
    count_type: str = ""


@dataclass(frozen=True)
class Element:
    """Element of the header: a number of rows with the same properties."""

    name: str
    count: int
    properties: tuple[Property, ...]


def read_ply(data: bytes) -> Triangles:
    """Read all polygons as triangles.

    Raises:
        MeshFileError: the header is invalid or claims more than the file holds, or there are no faces.
    """
    form, elements, start = _header(data)
    names = [element.name for element in elements]
    if "tristrips" in names:
        raise MeshFileError("its triangles are in strips, which is not read. Export it with plain faces")
    if "vertex" not in names or "face" not in names:
        raise MeshFileError("it is a cloud of points: it has no triangles. Make a surface of it first")
    for element in elements:
        sizes = [2 if form == "ascii" else _size(item.count_type or item.type) for item in element.properties]
        if element.count * max(sum(sizes), 1) > len(data) - start + 1:
            raise MeshFileError(
                f"its header claims {element.count:,} rows of {element.name[:30]!a}, for which the file is too short"
            )
    check_face_count(elements[names.index("face")].count)
    check_vertex_count(elements[names.index("vertex")].count)
    rows = _Ascii(data, start) if form == "ascii" else _Binary(data, start, "<" if "little" in form else ">")
    vertices = corners = None
    for element in elements:
        if element.name == "vertex":
            vertices = rows.vertices(element)
        elif element.name == "face":
            corners = rows.faces(element)
        else:
            rows.skip(element)
        if vertices is not None and corners is not None:
            return Triangles(vertices, fan(*corners))
    raise MeshFileError("it has no vertices")


def _size(kind: str) -> int:
    return int(kind[1])


def _header(data: bytes) -> tuple[str, list[Element], int]:
    """Return the format, the elements, and the byte offset of the rows."""
    end = data.find(b"end_header", 0, LARGEST_HEADER)
    stop = data.find(b"\n", end) if end >= 0 else -1
    if end < 0 or stop < 0:
        raise MeshFileError("its header has no end: it is cut off or damaged")
    form, elements = "", []
    for line in data[:end].decode("ascii", "replace").splitlines():
        words = line.split()
        try:
            if words[:1] == ["format"]:
                form = words[1]
            elif words[:1] == ["element"]:
                elements.append(Element(words[1], int(words[2]), ()))
            elif words[:1] == ["property"]:
                listed = words[1] == "list"
                item = (
                    Property(words[4], TYPES[words[3]], TYPES[words[2]])
                    if listed
                    else Property(words[2], TYPES[words[1]])
                )
                last = elements.pop()
                elements.append(Element(last.name, last.count, (*last.properties, item)))
        except (IndexError, KeyError, ValueError) as error:
            raise MeshFileError(f"its header cannot be understood: {line[:60]!a}") from error
    if form not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise MeshFileError(f"its format {form[:30]!a} is none of PLY's")
    if any(element.count < 0 for element in elements):
        raise MeshFileError("its header claims a negative count")
    return form, elements, stop + 1


def _columns(element: Element) -> list[str]:
    names = [item.name for item in element.properties]
    if not {"x", "y", "z"} <= set(names):
        raise MeshFileError("its vertices have no x, y and z")
    return names


def _corner_list(element: Element) -> int:
    """Return the index of the property that lists corners."""
    for number, item in enumerate(element.properties):
        if item.count_type and item.name in CORNERS:
            return number
    raise MeshFileError(f"its faces have no property {CORNERS[0]}")


class _Ascii:
    """Row reader of ASCII files, one row per line."""

    def __init__(self, data: bytes, start: int) -> None:
        stream = io.BytesIO(data)
        stream.seek(start)
        self.rows: Iterator[list[bytes]] = (words for line in stream if (words := line.split()))

    def vertices(self, element: Element) -> Float[np.ndarray, "V 3"]:
        names = _columns(element)
        if any(item.count_type for item in element.properties):
            raise MeshFileError("its vertices have lists, which is not read")
        at = [names.index(axis) for axis in "xyz"]
        result = np.empty((element.count, 3))
        for number in range(element.count):
            row = self._row()
            try:
                result[number] = [float(row[i]) for i in at]
            except (ValueError, IndexError) as error:
                raise MeshFileError(f"vertex {number} cannot be understood") from error
        return result

    def faces(self, element: Element) -> tuple[Int[np.ndarray, "P"], Int[np.ndarray, "C"]]:
        wanted, counts, corners = _corner_list(element), [], []
        for number in range(element.count):
            row, at = self._row(), 0
            try:
                for item in element.properties[:wanted]:
                    at += 1 + (int(row[at]) if item.count_type else 0)
                count = int(row[at])
                face = [int(word) for word in row[at + 1 : at + 1 + count]]
            except (ValueError, IndexError) as error:
                raise MeshFileError(f"face {number} cannot be understood") from error
            if len(face) != count:
                raise MeshFileError(f"face {number} has fewer corners than it declares")
            counts.append(count)
            corners += face
        return np.array(counts, dtype=np.int64), np.array(corners, dtype=np.int64)

    def skip(self, element: Element) -> None:
        for _ in range(element.count):
            self._row()

    def _row(self) -> list[bytes]:
        row = next(self.rows, None)
        if row is None:
            raise MeshFileError("it ends before all its vertices and faces: it is cut off")
        return row


class _Binary:
    """Row reader of binary files."""

    def __init__(self, data: bytes, start: int, order: str) -> None:
        self.data, self.at, self.order = data, start, order

    def vertices(self, element: Element) -> Float[np.ndarray, "V 3"]:
        _columns(element)
        table = self._table(element, [])
        if table is None:
            raise MeshFileError("its vertices have lists, which is not read")
        return np.stack([table[f"p{number}"] for number in self._xyz(element)], axis=-1).astype(np.float64)

    def _xyz(self, element: Element) -> list[int]:
        names = [item.name for item in element.properties]
        return [names.index(axis) for axis in "xyz"]

    def faces(self, element: Element) -> tuple[Int[np.ndarray, "P"], Int[np.ndarray, "C"]]:
        wanted = _corner_list(element)
        start = self.at
        lengths = self._row_lengths(element) if element.count else []
        table = self._table(element, lengths)
        if table is not None:
            corners = table[f"p{wanted}"].reshape(-1).astype(np.int64)
            return np.full(element.count, lengths[wanted] if lengths else 0, dtype=np.int64), corners
        self.at = start
        counts, found = [], []
        for _ in range(element.count):
            for number, item in enumerate(element.properties):
                values = self._values(item)
                if number == wanted:
                    counts.append(len(values))
                    found.append(values)
        return np.array(counts, dtype=np.int64), np.concatenate(found).astype(np.int64)

    def skip(self, element: Element) -> None:
        if self._table(element, []) is None:
            for _ in range(element.count):
                for item in element.properties:
                    self._values(item)

    def _row_lengths(self, element: Element) -> list[int]:
        """Return the list lengths of the next row, 0 for scalars, without advancing."""
        start, lengths = self.at, []
        for item in element.properties:
            values = self._values(item)
            lengths.append(len(values) if item.count_type else 0)
        self.at = start
        return lengths

    def _table(self, element: Element, lengths: list[int]) -> np.ndarray | None:
        """Read all rows at once if their lists have these lengths in every row; return None otherwise."""
        layout: list[tuple[Any, ...]] = []
        for number, item in enumerate(element.properties):
            if not item.count_type:
                layout.append((f"p{number}", self.order + item.type))
                continue
            if not lengths:
                return None
            layout.append((f"n{number}", self.order + item.count_type))
            layout.append((f"p{number}", self.order + item.type, (lengths[number],)))
        kind = np.dtype(layout)
        end = self.at + kind.itemsize * element.count
        if end > len(self.data):
            if lengths:  # rows of different lengths may still fit
                return None
            raise MeshFileError("it ends before all its vertices and faces: it is cut off")
        table = np.frombuffer(self.data, dtype=kind, count=element.count, offset=self.at)
        for number, item in enumerate(element.properties):
            if item.count_type and not (table[f"n{number}"] == lengths[number]).all():
                return None
        self.at = end
        return table

    def _values(self, item: Property) -> np.ndarray:
        """Read the next scalar or list."""
        count = int(self._take(item.count_type, 1)[0]) if item.count_type else 1
        return self._take(item.type, count)

    def _take(self, kind: str, count: int) -> np.ndarray:
        size = _size(kind) * count
        if count < 0 or self.at + size > len(self.data):
            raise MeshFileError("it ends before all its vertices and faces: it is cut off")
        values = np.frombuffer(self.data, dtype=self.order + kind, count=count, offset=self.at)
        self.at += size
        return values
