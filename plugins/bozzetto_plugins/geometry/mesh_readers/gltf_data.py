"""Arrays of a glTF file: buffers, views and accessors, each validated against the file's size."""

from __future__ import annotations

import base64
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
from jaxtyping import Shaped

from bozzetto_plugins.geometry.mesh_readers.triangles import MOST_FACES, MeshFileError

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
MOST_BYTES = 500_000_000
"""Maximum size of an external buffer, bytes."""


def listed(holder: Any, name: str) -> list[Any]:
    """Return the list under a key; empty if the key is missing.

    Raises:
        MeshFileError: the value is not a list.
    """
    found = holder.get(name, []) if isinstance(holder, dict) else None
    if not isinstance(found, list):
        raise MeshFileError(f"its {name!r} is not a list")
    return found


def whole(value: Any, what: str) -> int:
    """Return `value` if it is a non-negative integer.

    Raises:
        MeshFileError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MeshFileError(f"{what} must be a whole number from 0 on, got {ascii(value)[:30]}")
    return value


class GltfData:
    """Arrays of the accessors of a glTF document.

    Args:
        document: the parsed JSON.
        binary: the binary chunk of a GLB.
        folder: folder of external buffers; no file outside of it is opened.
    """

    def __init__(self, document: dict[str, Any], binary: bytes | None, folder: Path) -> None:
        self.document, self.binary, self.folder = document, binary, folder
        self._buffers: dict[int, bytes] = {}

    def accessor(self, number: int, kind: str) -> Shaped[np.ndarray, "N W"]:
        """Return the values of an accessor; normalised integers as float64.

        Raises:
            MeshFileError: it does not exist, has another type, or claims more entries than its buffer holds.
        """
        record = self._record("accessors", number)
        if record.get("type") != kind or record.get("componentType") not in COMPONENTS:
            raise MeshFileError(f"accessor {number} is not of type {kind}, or its numbers are of no known type")
        component, count = COMPONENTS[record["componentType"]], whole(record.get("count"), "an accessor's count")
        if count > 3 * MOST_FACES:
            raise MeshFileError(f"accessor {number} claims {count:,} entries; at most {3 * MOST_FACES:,} are read")
        width = WIDTHS[kind]
        if "bufferView" in record:
            values = self._view(record, component, count, width)
        else:
            values = np.zeros((count, width), component)
        if "sparse" in record:
            values = self._sparse(values, record["sparse"], component)
        if record.get("normalized") and component != "<f4":
            return np.maximum(values.astype(np.float64) / np.iinfo(component).max, -1.0)
        return values.astype(np.float64) if kind == "VEC3" else values

    def _sparse(self, values: np.ndarray, sparse: dict[str, Any], component: str) -> np.ndarray:
        """Return `values` with the sparse entries replaced."""
        count = whole(sparse.get("count"), "a sparse count")
        indices, replaced = sparse["indices"], sparse["values"]
        if indices.get("componentType") not in COMPONENTS:
            raise MeshFileError("a sparse accessor's indices are of no known type")
        at = self._view(indices, COMPONENTS[indices["componentType"]], count, 1)[:, 0].astype(np.int64)
        if count and not 0 <= at.min() <= at.max() < len(values):
            raise MeshFileError("a sparse accessor replaces entries that do not exist")
        changed = values.copy()
        changed[at] = self._view(replaced, component, count, values.shape[1])
        return changed

    def _view(self, record: dict[str, Any], component: str, count: int, width: int) -> np.ndarray:
        """Return `count` rows of `width` numbers at the `bufferView` and `byteOffset` of a record."""
        view = self._record("bufferViews", whole(record["bufferView"], "bufferView"))
        if any("meshopt" in name for name in view.get("extensions") or {}):
            raise MeshFileError("it is compressed with meshopt, which is not read. Export it without compression")
        buffer = self._buffer(whole(view.get("buffer"), "a view's buffer"))
        row = np.dtype(component).itemsize * width
        stride = whole(view.get("byteStride", row), "byteStride")
        offset, first = whole(view.get("byteOffset", 0), "byteOffset"), whole(record.get("byteOffset", 0), "byteOffset")
        length = whole(view.get("byteLength"), "byteLength")
        if stride < row or first + stride * (count - 1) + row > length or offset + length > len(buffer):
            if count:
                raise MeshFileError(f"an accessor claims {count:,} entries, and its buffer is too short for them")
            return np.zeros((0, width), component)
        flat = np.ndarray((count, row), np.uint8, buffer, offset + first, (stride, 1))
        return np.ascontiguousarray(flat).view(component)

    def _record(self, name: str, number: int) -> dict[str, Any]:
        items = listed(self.document, name)
        record = items[number] if number < len(items) else None
        if not isinstance(record, dict):
            raise MeshFileError(f"it refers to entry {number} of {name}, which does not exist")
        return record

    def _buffer(self, number: int) -> bytes:
        if number not in self._buffers:
            self._buffers[number] = self._load(self._record("buffers", number), number)
        return self._buffers[number]

    def _load(self, record: dict[str, Any], number: int) -> bytes:
        uri = record.get("uri")
        if uri is None:
            if number == 0 and self.binary is not None:
                return self.binary
            raise MeshFileError(f"buffer {number} has no data: it is cut off, or a placeholder of compressed data")
        if not isinstance(uri, str):
            raise MeshFileError(f"the address of buffer {number} is not text")
        if uri.startswith("data:"):
            head, _, content = uri.partition(",")
            return base64.b64decode(content) if head.endswith(";base64") else unquote_to_bytes(content)
        return beside(self.folder, uri).read_bytes()


def beside(folder: Path, uri: str) -> Path:
    """Return the path of a file that a mesh file refers to, inside the mesh file's folder.

    Raises:
        MeshFileError: the address leads elsewhere, or the file does not exist.
    """
    name, shown = unquote(uri), ascii(uri[:80])
    parts = PurePosixPath(name)
    if ":" in name or "\\" in name or "\0" in name or parts.is_absolute() or ".." in parts.parts:
        raise MeshFileError(f"it refers to {shown}, and nothing outside of its folder is opened. Export it as one .glb")
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise MeshFileError(f"it refers to {shown}, which leads out of its folder. Export it as one .glb")
    if not file.is_file():
        raise MeshFileError(f"its data lie in {shown}, which is not beside it. Export it as one .glb")
    if file.stat().st_size > MOST_BYTES:
        raise MeshFileError(f"its data in {shown} have more than {MOST_BYTES // 1_000_000} MB")
    return file
