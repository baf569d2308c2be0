"""Selection of a mesh reader by file suffix and leading bytes.

Does not import torch, and opens no other file except the buffers of a .gltf.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from bozzetto.errors import ConfigError
from bozzetto_plugins.geometry.mesh_readers.gltf import read_gltf
from bozzetto_plugins.geometry.mesh_readers.obj import read_obj
from bozzetto_plugins.geometry.mesh_readers.off import read_off
from bozzetto_plugins.geometry.mesh_readers.ply import read_ply
from bozzetto_plugins.geometry.mesh_readers.stl import read_stl
from bozzetto_plugins.geometry.mesh_readers.triangles import MeshFileError, Triangles

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".off", ".stl")
MOST_BYTES = 500_000_000
STARTS = (
    (b"glTF", ".glb"),
    (b"ply\n", ".ply"),
    (b"ply\r", ".ply"),
    (b"Kaydara FBX", "FBX"),
    (b"BLENDER", "Blender"),
    (b"PK\x03\x04", "ZIP (perhaps USDZ or 3MF)"),
    (b"\x1f\x8b", "gzip"),
    (b"DRACO", "Draco"),
    (b"PXR-USDC", "USD"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"version https://git-lfs", "Git LFS pointer"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
    (b"<?xml", "XML (perhaps COLLADA)"),
)
"""Leading bytes of known formats, with their suffix or name."""


def read_triangles(path: Path) -> Triangles:
    """Read the triangles of a file, in its own coordinates.

    Raises:
        ConfigError: the file does not exist or cannot be used; says why and what to do.
    """
    suffix, data = path.suffix.lower(), _content(path)
    start = next((name for start, name in STARTS if data.startswith(start)), "")
    kind = ".glb" if suffix == ".gltf" else suffix
    if start and start != kind:
        what = f"a {start} file"
        cure = f"Name it {path.stem}{start}" if start in SUFFIXES else "Export it as .glb"
        raise ConfigError(f"{path} cannot be read as a mesh: it is named {suffix}, and holds {what}. {cure}.")
    try:
        if kind == ".glb":
            return read_gltf(data, path)
        return {".obj": read_obj, ".ply": read_ply, ".off": read_off, ".stl": read_stl}[suffix](data)
    except MeshFileError as error:
        raise ConfigError(f"{path} cannot be read as a mesh: {error}.") from error
    except (MemoryError, OSError):
        raise
    except Exception as error:  # any other error that a damaged file causes in a reader
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{path} cannot be read as a mesh: it is damaged ({type(error).__name__}: {reason}). Export it again."
        ) from error


def _content(path: Path) -> bytes:
    """Return the bytes of a regular file with a supported suffix."""
    try:
        if not path.is_file():
            raise ConfigError(_missing(path))
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(
                f"{path} cannot be read as a mesh: {path.suffix or 'a file without suffix'} is not read. "
                "Export it as .glb, .obj, .ply, .off or .stl."
            )
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(
                f"{path} cannot be read as a mesh: it has {size / 1e6:.0f} MB; at most {MOST_BYTES / 1e6:.0f} are "
                "read. Simplify it, or export it without textures."
            )
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(f"The mesh {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not data:
        raise ConfigError(f"{path} cannot be read as a mesh: it is empty, 0 bytes. Export it again.")
    return data


def _missing(path: Path) -> str:
    if path.exists():
        what = "a folder" if path.is_dir() else "not a regular file"
        return f"{path} is {what}. Give the path of a .glb, .obj or .ply file."
    near = []
    if path.parent.is_dir():
        here = (item.name for item in path.parent.iterdir() if item.suffix.lower() in SUFFIXES)
        near = sorted(itertools.islice(here, 5))
    beside = f" Beside it: {', '.join(near)}." if near else ""
    return f"There is no mesh file {path}.{beside} Give the path of a .glb, .obj or .ply file."
