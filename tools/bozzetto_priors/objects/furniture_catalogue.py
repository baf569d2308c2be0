"""Reader of Sweet Home 3D furniture catalogues (`.sh3f`): names, licences and triangle meshes.

A catalogue is a zip with `PluginFurnitureCatalog.properties` and OBJ/MTL/texture files. Its models have y up and their
front toward +z; `load_model` returns them in the project's world frame (right-handed, z up, front toward +x), centred
and scaled by `normalise`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bozzetto_priors.objects.mesh_part import Part, normalise

if TYPE_CHECKING:
    import trimesh

PACKAGE = "sweethome3d-furniture"
FURNITURE = Path("usr/share/sweethome3d/furniture")


@dataclass(frozen=True)
class Entry:
    """One piece of a catalogue: its name, model path, author and licence."""

    key: str
    name: str
    catalogue: str
    model: str
    creator: str
    licence: str
    rotation: tuple[float, ...] | None


def ensure_catalogues(folder: Path) -> Path:
    """Return the folder of the `.sh3f` files under `folder`; downloads and unpacks the Debian package if absent."""
    furniture = folder / FURNITURE
    if not any(furniture.glob("*.sh3f")):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(["apt-get", "download", PACKAGE], cwd=scratch, check=True)
            deb = next(Path(scratch).glob("*.deb"))
            subprocess.run(["dpkg", "-x", str(deb), str(folder)], check=True)
    return furniture


def read_properties(text: str) -> dict[str, str]:
    """Parse a Java properties text (the part of the format that these catalogues use)."""
    joined = re.sub(r"\\\r?\n\s*", "", text)
    pairs: dict[str, str] = {}
    for line in joined.splitlines():
        stripped = line.strip()
        if stripped and stripped[0] not in "#!" and "=" in stripped:
            key, value = stripped.split("=", 1)
            value = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m.group(1), 16)), value)
            pairs[key.strip()] = re.sub(r"\\(.)", r"\1", value.strip())
    return pairs


def read_entries(furniture: Path) -> list[Entry]:
    """Read all pieces of all catalogues in `furniture`, in the catalogues' own order."""
    entries: list[Entry] = []
    for path in sorted(furniture.glob("*.sh3f")):
        with zipfile.ZipFile(path) as archive:
            raw = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
        pairs = read_properties(raw)
        numbers = sorted(int(key[5:]) for key in pairs if key.startswith("name#"))
        for n in numbers:
            turn = pairs.get(f"modelRotation#{n}")
            model = pairs[f"model#{n}"].lstrip("/")
            entries.append(
                Entry(
                    key=f"{path.stem}/{Path(model).stem}",
                    name=pairs[f"name#{n}"],
                    catalogue=path.stem,
                    model=model,
                    creator=pairs.get(f"creator#{n}", ""),
                    licence=pairs.get("license", ""),
                    rotation=tuple(float(v) for v in turn.split()) if turn else None,
                )
            )
    return entries


def unpack(entry: Entry, furniture: Path, cache: Path) -> Path:
    """Unpack the folder of `entry`'s model below `cache` once; return the OBJ file."""
    target = cache / entry.catalogue / entry.model
    if not target.exists():
        inside = str(Path(entry.model).parent) + "/"
        with zipfile.ZipFile(furniture / f"{entry.catalogue}.sh3f") as archive:
            names = [n for n in archive.namelist() if n.startswith(inside) or n == entry.model]
            archive.extractall(cache / entry.catalogue, names)
    return target


def to_world(vectors: np.ndarray) -> np.ndarray:
    """Convert from the model frame (y up, front +z) to the world frame (z up, front +x): (x, y, z) -> (z, x, y)."""
    return vectors[:, [2, 0, 1]]


def _material(mesh: trimesh.Trimesh) -> tuple[tuple[float, float, float, float], np.ndarray | None]:
    """Return diffuse RGBA in [0, 1] and texture uint8 [H, W, 4] or None of a trimesh mesh."""
    material = getattr(mesh.visual, "material", None)
    if material is None:
        return (0.7, 0.7, 0.7, 1.0), None
    image = getattr(material, "image", None)
    diffuse = np.asarray(getattr(material, "diffuse", (178, 178, 178, 255)), float) / 255.0
    extra = getattr(material, "kwargs", {}) or {}
    alpha = 1.0
    if "d" in extra:
        alpha = float(np.ravel(extra["d"])[0])
    elif "Tr" in extra:
        alpha = 1.0 - float(np.ravel(extra["Tr"])[0])
    if image is not None:
        return (1.0, 1.0, 1.0, alpha), np.asarray(image.convert("RGBA"))
    return (float(diffuse[0]), float(diffuse[1]), float(diffuse[2]), alpha), None


def load_model(path: Path, rotation: tuple[float, ...] | None = None, min_alpha: float = 0.3) -> list[Part]:
    """Load an OBJ with materials as `Part`s in the normalised world frame.

    `rotation` is the catalogue's row-major 3x3 matrix; materials with an opacity below `min_alpha` (mostly window
    panes) are omitted.
    """
    import trimesh

    scene = trimesh.load(path, process=False, force="scene")
    assert isinstance(scene, trimesh.Scene)
    turn = np.eye(3) if rotation is None else np.asarray(rotation).reshape(3, 3)
    parts: list[Part] = []
    for mesh in scene.dump():
        if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
            continue
        colour, texture = _material(mesh)
        if colour[3] < min_alpha:
            continue
        corners = mesh.faces.reshape(-1)
        uv = getattr(mesh.visual, "uv", None)
        coords = np.zeros((len(corners), 2)) if uv is None or len(uv) == 0 else np.asarray(uv)[corners]
        points = to_world(np.asarray(mesh.vertices) @ turn.T)[corners]
        normals = to_world(np.asarray(mesh.vertex_normals) @ turn.T)[corners]
        parts.append(Part(points, normals, coords, colour, texture if uv is not None else None))
    everything = np.concatenate([part.points for part in parts])
    centre, scale = normalise(everything.min(0), everything.max(0), everything)
    return [
        Part(((p.points - centre) * scale).astype("f4"), p.normals.astype("f4"), p.uv.astype("f4"), p.colour, p.texture)
        for p in parts
    ]
