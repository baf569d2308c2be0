"""Writer of binary glTF 2.0 files: one mesh, one material, embedded texture.

Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import bozzetto
from bozzetto.files import write_atomically
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.placement import to_file_axes
from bozzetto_plugins.exporter.png import png_bytes
from bozzetto_plugins.exporter.surface import vertex_normals

FLOAT, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5123, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942


class _Buffer:
    """Binary buffer of a GLB with its views and accessors."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def add_view(self, content: bytes, target: int | None = None) -> int:
        """Append bytes, aligned to 4; return the view's index."""
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)}
        self.views.append(view if target is None else view | {"target": target})
        self.data += content + b"\0" * (-len(content) % 4)
        return len(self.views) - 1

    def add_vectors(self, values: Tensor, kind: str, bounds: bool = False) -> int:
        """Append a float vertex attribute; return the accessor's index."""
        array = values.numpy().astype("<f4")
        view = self.add_view(array.tobytes(), ARRAY_BUFFER)
        accessor = {"bufferView": view, "componentType": FLOAT, "count": len(array), "type": kind}
        if bounds:
            accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_indices(self, faces: Tensor, vertex_count: int) -> int:
        """Append the triangles in the narrowest sufficient type; return the accessor's index."""
        # 65535 itself is the primitive-restart value and must not be an index.
        narrow = vertex_count <= 65535
        array = faces.reshape(-1).numpy().astype("<u2" if narrow else "<u4")
        view = self.add_view(array.tobytes(), ELEMENT_ARRAY_BUFFER)
        component = UNSIGNED_SHORT if narrow else UNSIGNED_INT
        self.accessors.append({"bufferView": view, "componentType": component, "count": len(array), "type": "SCALAR"})
        return len(self.accessors) - 1


def write_glb(mesh: TriangleMesh, path: Path) -> Path:
    """Write one .glb file, y up and front +z, atomically."""
    buffer = _Buffer()
    attributes = {
        "POSITION": buffer.add_vectors(to_file_axes(mesh.vertices, path), "VEC3", bounds=True),
        "NORMAL": buffer.add_vectors(to_file_axes(vertex_normals(mesh), path), "VEC3"),
    }
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"bozzetto {bozzetto.__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "object"}],
    }
    if mesh.uvs is not None and mesh.texture is not None:
        flipped = torch.stack([mesh.uvs[:, 0], 1.0 - mesh.uvs[:, 1]], dim=-1)  # v points down in glTF
        attributes["TEXCOORD_0"] = buffer.add_vectors(flipped, "VEC2")
        surface["baseColorTexture"] = {"index": 0}
        document |= _texture(buffer.add_view(png_bytes(mesh.texture)))
    indices = buffer.add_indices(mesh.faces, len(mesh.vertices))
    document |= {
        "materials": [{"name": "baked", "pbrMetallicRoughness": surface, "doubleSided": False}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    content = _container(document, bytes(buffer.data))
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def _texture(view: int) -> dict[str, Any]:
    """Return the document entries of one embedded PNG."""
    sampler = {"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR, "wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE}
    return {
        "images": [{"bufferView": view, "mimeType": "image/png", "name": "albedo"}],
        "samplers": [sampler],
        "textures": [{"source": 0, "sampler": 0}],
    }


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    """Return the GLB container: a header, the JSON chunk padded with spaces, the binary chunk."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(binary)
    header = struct.pack("<4sII", b"glTF", 2, length)
    return b"".join(
        [header, struct.pack("<II", len(text), JSON_CHUNK), text, struct.pack("<II", len(binary), BINARY_CHUNK), binary]
    )
