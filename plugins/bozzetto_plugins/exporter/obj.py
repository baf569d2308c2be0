"""Writer of Wavefront OBJ files with material file and texture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from torch import Tensor

from bozzetto.files import write_atomically, write_text
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.placement import to_file_axes
from bozzetto_plugins.exporter.png import png_bytes
from bozzetto_plugins.exporter.surface import vertex_normals

MATERIAL = "newmtl baked\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\n"


def write_obj(mesh: TriangleMesh, path: Path) -> list[Path]:
    """Write `path`, a .mtl of the same name and, if the mesh has one, texture.png beside it; y up and front +z.

    Returns:
        The files, the .obj first. Each is written atomically, the .obj last, so that it never names a missing file.
    """
    material, picture = path.with_suffix(".mtl"), path.with_name("texture.png")
    files, coordinates, textured = [path, material], "", False
    if mesh.uvs is not None and mesh.texture is not None:
        textured, coordinates, content = True, _rows("vt", mesh.uvs, 6), png_bytes(mesh.texture)
        write_atomically(picture, lambda temporary: temporary.write_bytes(content))
        files.append(picture)
    write_text(material, MATERIAL + (f"map_Kd {picture.name}\n" if textured else ""))
    parts = [
        f"mtllib {material.name}\no object\n",
        _rows("v", to_file_axes(mesh.vertices, path), 7),
        coordinates,
        _rows("vn", to_file_axes(vertex_normals(mesh), path), 4),
        "usemtl baked\n",
        _faces(mesh.faces, textured),
    ]
    write_text(path, "".join(parts))
    return files


def _rows(word: str, values: Tensor, digits: int) -> str:
    """Return one line per row: the word and its numbers."""
    stream = io.StringIO()
    np.savetxt(stream, values.numpy(), fmt=f"{word}" + f" %.{digits}f" * values.shape[1])
    return stream.getvalue()


def _faces(faces: Tensor, textured: bool) -> str:
    """Return face lines whose position, UV and normal share one index, counted from 1."""
    corner = " %d/%d/%d" if textured else " %d//%d"
    numbers = np.repeat(faces.numpy() + 1, 3 if textured else 2, axis=1)
    stream = io.StringIO()
    np.savetxt(stream, numbers, fmt="f" + corner * 3)
    return stream.getvalue()
