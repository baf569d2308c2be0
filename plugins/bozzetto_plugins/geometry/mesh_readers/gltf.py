"""Reader of glTF 2.0 and GLB files: the triangles of the scene. Materials, textures and external files are ignored."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bozzetto_plugins.geometry.mesh_readers.gltf_data import GltfData, listed, whole
from bozzetto_plugins.geometry.mesh_readers.triangles import MeshFileError, Triangles, check_face_count

TRIANGLES, STRIP, FAN = 4, 5, 6
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
COMPRESSED = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
}
HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "MSFT_texture_", "KHR_mesh_quantization")
"""Required extensions that are supported or do not affect the triangles."""


def read_gltf(data: bytes, path: Path) -> Triangles:
    """Read all triangles of the file's scene, in scene coordinates.

    Args:
        path: path of the file; external buffers are searched in its folder.

    Raises:
        MeshFileError: the file is damaged or compressed, refers to files outside its folder, or has too many triangles.
    """
    document, binary = _container(data)
    _check_extensions(document)
    reader = _Scene(document, GltfData(document, binary, path.parent))
    return reader.triangles()


def _container(data: bytes) -> tuple[dict[str, Any], bytes | None]:
    """Return the JSON document, and the binary chunk of a GLB."""
    binary = None
    text = data
    if data[:4] == b"glTF":
        if len(data) < 20:
            raise MeshFileError("it ends within its header: it is cut off")
        version, length = struct.unpack_from("<II", data, 4)
        if version != 2:
            raise MeshFileError(f"it is glTF {version}; glTF 2 is read")
        if length > len(data):
            raise MeshFileError(f"its header claims {length:,} bytes, and the file has {len(data):,}: it is cut off")
        chunks: dict[int, bytes] = {}
        at = 12
        while at + 8 <= length:
            size, kind = struct.unpack_from("<II", data, at)
            if at + 8 + size > length:
                raise MeshFileError("a chunk is longer than the file: it is cut off or damaged")
            chunks.setdefault(kind, data[at + 8 : at + 8 + size])
            at += 8 + size + (-size % 4)
        text, binary = chunks.get(JSON_CHUNK, b""), chunks.get(BINARY_CHUNK)
    elif data.lstrip()[:1] != b"{":
        raise MeshFileError("its first bytes are neither those of GLB nor of glTF")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MeshFileError(f"its JSON cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise MeshFileError("its JSON is not an object")
    return document, binary


def _check_extensions(document: dict[str, Any]) -> None:
    for name in listed(document, "extensionsRequired"):
        if name in COMPRESSED:
            raise MeshFileError(_compressed(name))
        if not str(name).startswith(HARMLESS):
            raise MeshFileError(f"it needs the extension {ascii(name)[:60]}, which is not read")


def _compressed(name: str) -> str:
    return f"it is compressed with {COMPRESSED[name]}, which is not read. Export it without compression"


class _Scene:
    """Nodes and meshes of a document."""

    def __init__(self, document: dict[str, Any], data: GltfData) -> None:
        self.document, self.data = document, data
        self.nodes, self.meshes = listed(document, "nodes"), listed(document, "meshes")
        self.face_count = 0
        """Number of faces of all primitives read so far."""

    def triangles(self) -> Triangles:
        """Return the triangles of all nodes; each primitive is read once and transformed for all its nodes."""
        parts: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        placed: dict[int, list[np.ndarray]] = {}
        total = 0
        for mesh, matrix in self._placements():
            if mesh not in parts:
                parts[mesh], placed[mesh] = self._mesh(mesh), []
            placed[mesh].append(matrix)
            total += sum(len(faces) for _, faces in parts[mesh])
            check_face_count(total)
        vertices, faces, start = [], [], 0
        for mesh, found in parts.items():
            matrices = np.stack(placed[mesh])
            with np.errstate(invalid="ignore"):  # non-finite coordinates are rejected later
                mirrored = np.linalg.det(matrices[:, :3, :3]) < 0.0
            for points, corners in found:
                moved = np.einsum("nij,vj->nvi", matrices[:, :3, :3], points) + matrices[:, None, :3, 3]
                numbers = start + len(points) * np.arange(len(matrices))[:, None, None] + corners
                numbers[mirrored] = numbers[mirrored][..., ::-1]  # a reflection reverses the winding order
                vertices.append(moved.reshape(-1, 3))
                faces.append(numbers.reshape(-1, 3))
                start += len(moved) * len(points)
        if not vertices:
            return Triangles(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
        return Triangles(np.concatenate(vertices), np.concatenate(faces))

    def _placements(self) -> Iterator[tuple[int, Float[np.ndarray, "4 4"]]]:
        """Yield mesh indices with their world matrices, node by node."""
        if not self.nodes:
            yield from ((number, np.eye(4)) for number in range(len(self.meshes)))
            return
        local = local_matrices(self.nodes)
        seen = np.zeros(len(self.nodes), dtype=bool)
        waiting: list[tuple[int, np.ndarray | None]] = [(root, None) for root in self._roots()]
        while waiting:
            number, parent = waiting.pop()
            node = self._item(self.nodes, number, "node")
            if seen[number]:
                raise MeshFileError(f"node {number} has two parents, or is its own ancestor")
            seen[number] = True
            if "EXT_mesh_gpu_instancing" in (node.get("extensions") or {}):
                raise MeshFileError("it needs the extension 'EXT_mesh_gpu_instancing', which is not read")
            matrix = local[number] if parent is None else parent @ local[number]
            if "mesh" in node:
                yield whole(node["mesh"], "a node's mesh"), matrix
            if "children" in node:
                waiting += [(whole(child, "a child"), matrix) for child in listed(node, "children")]

    def _roots(self) -> list[int]:
        scenes = listed(self.document, "scenes")
        if scenes:
            scene = self._item(scenes, whole(self.document.get("scene", 0), "scene"), "scene")
            return [whole(root, "a root") for root in listed(scene, "nodes")]
        below = {child for node in self.nodes for child in listed(node, "children")}
        return [number for number in range(len(self.nodes)) if number not in below]

    def _mesh(self, number: int) -> list[tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "T 3"]]]:
        """Return points and triangles of each primitive that has triangles."""
        found = []
        for primitive in listed(self._item(self.meshes, number, "mesh"), "primitives"):
            for name in primitive.get("extensions") or {}:
                if name in COMPRESSED:
                    raise MeshFileError(_compressed(name))
            mode = whole(primitive.get("mode", TRIANGLES), "mode")
            attributes = primitive.get("attributes") or {}
            if mode not in (TRIANGLES, STRIP, FAN) or "POSITION" not in attributes:
                continue
            points = self.data.accessor(whole(attributes["POSITION"], "POSITION"), "VEC3")
            if "indices" in primitive:
                order = self.data.accessor(whole(primitive["indices"], "indices"), "SCALAR")[:, 0].astype(np.int64)
            else:
                order = np.arange(len(points))
            faces = _faces(order, mode)
            self.face_count += len(faces)
            check_face_count(self.face_count)
            if len(faces) and not 0 <= faces.min() <= faces.max() < len(points):
                raise MeshFileError(
                    f"its faces name vertices from {faces.min()} to {faces.max()}, and there are {len(points)}"
                )
            used, compact = np.unique(faces, return_inverse=True)
            found.append((points[used], compact.reshape(-1, 3)))
        return found

    def _item(self, items: list[Any], number: int, what: str) -> dict[str, Any]:
        item = items[number] if 0 <= number < len(items) else None
        if not isinstance(item, dict):
            raise MeshFileError(f"it refers to {what} {number}, which does not exist")
        return item


def _faces(order: Int[np.ndarray, "N"], mode: int) -> Int[np.ndarray, "T 3"]:
    """Return the triangles of a list, strip or fan of vertex indices."""
    if mode == TRIANGLES:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    count = max(len(order) - 2, 0)
    number = np.arange(count)
    if mode == FAN:
        return np.stack([np.broadcast_to(order[:1], count), order[1 : 1 + count], order[2 : 2 + count]], axis=-1)
    odd = number % 2
    return order[np.stack([number, number + 1 + odd, number + 2 - odd], axis=-1)]


def local_matrices(nodes: list[dict[str, Any]]) -> Float[np.ndarray, "N 4 4"]:
    """Return the local transform of each node: `matrix`, or translation * rotation * scale."""
    turns = np.array([node.get("rotation", (0, 0, 0, 1)) for node in nodes], dtype=np.float64).reshape(-1, 4)
    scales = np.array([node.get("scale", (1, 1, 1)) for node in nodes], dtype=np.float64).reshape(-1, 3)
    result = np.zeros((len(nodes), 4, 4))
    result[:, 3, 3] = 1.0
    result[:, :3, :3] = _rotations(turns) * scales[:, None]
    result[:, :3, 3] = np.array([node.get("translation", (0, 0, 0)) for node in nodes], dtype=np.float64)
    for number, node in enumerate(nodes):
        if "matrix" in node:
            result[number] = np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    return result


def _rotations(quaternions: Float[np.ndarray, "N 4"]) -> Float[np.ndarray, "N 3 3"]:
    """Return the rotation matrices of unit quaternions (x, y, z, w)."""
    x, y, z, w = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
