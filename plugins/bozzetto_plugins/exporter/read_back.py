"""Verification of mesh files: another library reads them, and the numbers are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ExportError
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.placement import from_file_axes

TOLERANCE = 1e-4
"""Tolerance of the bounds as a fraction of the object's size: OBJ keeps seven decimals."""
TEXTURED = (".glb", ".obj")


@dataclass(frozen=True)
class ReadBack:
    """Contents of a mesh file as read by another library."""

    mesh: TriangleMesh
    """Mesh in metres, in world axes; with UVs and texture if the file has them."""
    colors: Float[Tensor, "V 3"] | None = None
    """Vertex colours, sRGB in [0, 1], if the file has them instead of a texture."""


def read_mesh(path: Path) -> ReadBack:
    """Load a file with trimesh exactly as written: vertices are neither merged nor repaired."""
    loaded = trimesh.load(path, force="mesh", process=False)
    if not isinstance(loaded, trimesh.Trimesh):
        raise ExportError(f"{path.name} was written but reads back as {type(loaded).__name__}, which is no mesh.")
    vertices = from_file_axes(torch.tensor(np.asarray(loaded.vertices), dtype=torch.float32), path)
    faces = torch.tensor(np.asarray(loaded.faces), dtype=torch.int64)
    uv = getattr(loaded.visual, "uv", None)
    material = getattr(loaded.visual, "material", None)
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if uv is not None and picture is not None:
        texture = torch.from_numpy(np.array(picture.convert("RGB"))).float() / 255.0
        return ReadBack(TriangleMesh(vertices, faces, torch.tensor(np.asarray(uv), dtype=torch.float32), texture))
    if isinstance(loaded.visual, trimesh.visual.ColorVisuals) and loaded.visual.kind == "vertex":
        colors = torch.from_numpy(np.array(loaded.visual.vertex_colors[:, :3])).float() / 255.0
        return ReadBack(TriangleMesh(vertices, faces), colors)
    return ReadBack(TriangleMesh(vertices, faces))


def check_file(path: Path, mesh: TriangleMesh) -> ReadBack:
    """Load `path` and compare it with the mesh that was written to it.

    Raises:
        ExportError: face count, bounds, UVs or texture differ, or a vertex is not finite.
    """
    found = read_mesh(path)
    for name, is_, expected in _facts(found.mesh, mesh, path.suffix in TEXTURED):
        if is_ != expected:
            raise ExportError(
                f"{path.name} was written but reads back wrong: {name} is {is_}, expected {expected}. "
                "Try another of export.mesh.formats, and report this with the file."
            )
    return found


def _facts(found: TriangleMesh, written: TriangleMesh, textured: bool) -> list[tuple[str, object, object]]:
    """Return (name, value read, value written) tuples, compared for equality."""
    facts: list[tuple[str, object, object]] = [
        ("number of faces", len(found.faces), len(written.faces)),
        ("'all vertices are finite'", bool(torch.isfinite(found.vertices).all()), True),
        ("'the bounds are those written'", _same_bounds(found, written), True),
    ]
    if textured and written.texture is not None:
        in_range = found.uvs is not None and bool(((found.uvs >= 0.0) & (found.uvs <= 1.0)).all())
        size = None if found.texture is None else (found.texture.shape[1], found.texture.shape[0])
        facts += [
            ("'all UVs lie in [0, 1]'", in_range, True),
            ("size of the texture", size, (written.texture.shape[1], written.texture.shape[0])),
        ]
    return facts


def _same_bounds(found: TriangleMesh, written: TriangleMesh) -> bool:
    """Return whether both have the same bounds, up to the rounding of the formats."""
    corners = [torch.stack([m.vertices.amin(0), m.vertices.amax(0)]) for m in (found, written)]
    size = (corners[1][1] - corners[1][0]).max()
    return bool((corners[0] - corners[1]).abs().max() <= TOLERANCE * size)
