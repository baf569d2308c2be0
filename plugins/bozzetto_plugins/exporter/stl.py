"""Writer of binary STL files: triangles only, for 3D printing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import bozzetto
from bozzetto.files import write_atomically
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.placement import to_file_axes

TRIANGLE = [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")]
HEADER_BYTES = 80


def write_stl(mesh: TriangleMesh, path: Path) -> Path:
    """Write one .stl file, z up and front -y, atomically; colours are not stored."""
    corners = to_file_axes(mesh.vertices, path)[mesh.faces]
    a, b, c = corners.double().unbind(1)
    triangles = np.zeros(len(corners), dtype=TRIANGLE)
    triangles["normal"] = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-300).numpy()
    triangles["corners"] = corners.numpy()
    # A binary file must not begin with "solid", which marks ASCII files.
    header = f"bozzetto {bozzetto.__version__}, metres, z up".encode("ascii").ljust(HEADER_BYTES)
    content = header + np.uint32(len(triangles)).astype("<u4").tobytes() + triangles.tobytes()
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))
