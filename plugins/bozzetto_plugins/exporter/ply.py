"""Writer of binary PLY files with vertex colours, for tools without texture support."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.files import write_atomically
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.placement import to_file_axes
from bozzetto_plugins.exporter.surface import vertex_normals

VERTEX = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
COLOR = [(name, "u1") for name in ("red", "green", "blue")]
FACE = [("count", "u1"), ("corners", "<i4", 3)]
PLY_TYPE = {"<f4": "float", "u1": "uchar"}


def write_ply(mesh: TriangleMesh, path: Path) -> Path:
    """Write one .ply file, z up and front -y, atomically; vertices get the texture's colour if there is one."""
    columns = [to_file_axes(mesh.vertices, path), to_file_axes(vertex_normals(mesh), path)]
    layout = list(VERTEX)
    if mesh.uvs is not None and mesh.texture is not None:
        columns.append((texture_at(mesh.texture, mesh.uvs) * 255.0).round())
        layout += COLOR
    values = torch.cat(columns, dim=1).numpy()
    vertices = np.empty(len(values), dtype=layout)
    for number, (name, _) in enumerate(layout):
        vertices[name] = values[:, number]
    faces = np.empty(len(mesh.faces), dtype=FACE)
    faces["count"], faces["corners"] = 3, mesh.faces.numpy()
    header = "\n".join(
        [
            "ply",
            "format binary_little_endian 1.0",
            f"element vertex {len(vertices)}",
            *(f"property {PLY_TYPE[kind]} {name}" for name, kind in layout),
            f"element face {len(faces)}",
            "property list uchar int vertex_indices",
            "end_header\n",
        ]
    )
    content = header.encode("ascii") + vertices.tobytes() + faces.tobytes()
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))


def texture_at(texture: Float[Tensor, "TH TW 3"], uvs: Float[Tensor, "V 2"]) -> Float[Tensor, "V 3"]:
    """Sample a texture at UVs (origin at the lower left), bilinearly between texel centres."""
    grid = torch.stack([2.0 * uvs[:, 0] - 1.0, 1.0 - 2.0 * uvs[:, 1]], dim=-1)
    picture = texture.permute(2, 0, 1)[None]
    sampled = torch.nn.functional.grid_sample(
        picture, grid[None, None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[0, :, 0].T
