"""Settings of the built-in exporters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

LARGEST_TEXTURE = 8192
"""Pixels that every viewer of the last ten years can load."""

LARGEST_RESOLUTION = 1024
"""Grid points a side whose densities, 4 bytes each, fit in 4.3 GB."""
MOST_FACES = 16_000_000
"""Triangle numbers of the rasteriser end at 2^24."""
FIELD_FACES, FIELD_COMPONENT_SHARE = 20_000, 0.01
"""What null means for a surface that is not the user's own mesh."""


@dataclass(frozen=True)
class MeshConfig:
    """From a trained scene to a textured triangle mesh."""

    formats: tuple[Literal["glb", "obj", "ply", "stl"], ...] = ("glb", "obj")
    """Files to write: `glb` (one file, texture inside), `obj` (with .mtl and .png), `ply` (colours on vertices), `stl`
    (shape alone)."""
    scale: float = 1.0
    """Metres in the file per world unit."""
    origin: Literal["none", "center", "bottom"] = "none"
    """Point that becomes the file's origin: `none` keeps the world's, `center` is the middle of the object's bounding
    box, `bottom` the middle of its floor, so that the object stands on the ground."""
    resolution: int = 128
    """Grid points along each side of the scene's cube at which the density is looked up, at most 1024; each of the
    resolution^3 points takes 4 bytes. Not read for a geometry that is a mesh already, nor are `threshold` and
    `smoothing_iterations`."""
    threshold: float | Literal["auto"] = "auto"
    """Density of the surface, per world unit; `auto` takes the one whose silhouette agrees best with what the volume
    shows."""
    min_component_share: float | None = None
    """Loose pieces with a smaller share of all faces than this are dropped; the largest piece always stays. null: 0.01,
    and for a mesh of one's own all pieces are kept."""
    smoothing_iterations: int = 3
    """Rounds of Taubin smoothing, which removes the grid's steps without shrinking the object; 0 is none."""
    max_faces: int | None = None
    """Meshes with more triangles are simplified to this many. null: 20000, and a mesh of one's own keeps all of its."""
    texture_size: int = 1024
    """Side of the square texture, pixels."""
    bake_samples: int = 4
    """Samples per texel, half a grid cell apart from the surface inward, composited as the volume renderer would; one
    for a geometry that is a mesh."""
    chunk_points: int = 65_536
    """Points looked up at a time; bounds memory, changes nothing else."""
    verify_views: int = 4
    """Sides from which every file, read back, is drawn and compared with what the training renderer shows; 0 draws
    none."""
    verify_size: int = 128
    """Height and width of those pictures, pixels."""

    def __post_init__(self) -> None:
        if not self.formats:
            raise ValueError("formats: must name at least one of glb, obj, ply, stl")
        for name, least in (
            ("texture_size", 16),
            ("bake_samples", 1),
            ("chunk_points", 1),
            ("smoothing_iterations", 0),
            ("verify_views", 0),
            ("verify_size", 8),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, got {getattr(self, name)}")
        if not 8 <= self.resolution <= LARGEST_RESOLUTION:
            raise ValueError(f"resolution: must lie in [8, {LARGEST_RESOLUTION}], got {self.resolution}")
        if self.max_faces is not None and not 4 <= self.max_faces <= MOST_FACES:
            raise ValueError(f"max_faces: must lie in [4, {MOST_FACES}] or be null, got {self.max_faces}")
        if self.texture_size > LARGEST_TEXTURE:
            raise ValueError(f"texture_size: must be at most {LARGEST_TEXTURE}, got {self.texture_size}")
        if not (self.scale > 0.0 and math.isfinite(self.scale)):
            raise ValueError(f"scale: must be above 0 and finite, got {self.scale}")
        if self.threshold != "auto" and not self.threshold > 0.0:
            raise ValueError(f"threshold: must be above 0 or 'auto', got {self.threshold}")
        if self.min_component_share is not None and not 0.0 <= self.min_component_share < 1.0:
            raise ValueError(f"min_component_share: must lie in [0, 1) or be null, got {self.min_component_share}")


@dataclass(frozen=True)
class TurntableConfig:
    """Pictures of the scene from all around."""

    outputs: tuple[Literal["video", "contact-sheet"], ...] = ("video", "contact-sheet")
    """`video` is turntable.mp4, `contact-sheet` is contact_sheet.png."""
    frames: int = 60
    """Pictures around the object in one turn."""
    frames_per_second: int = 30
    """Speed of the video."""
    size: int = 256
    """Height and width of each picture, pixels; even, because H.264 needs it."""
    sides: int = 8
    """Columns of the contact sheet, evenly around the object; taken from the video's pictures."""
    background: Literal["white", "scene"] = "white"
    """Plain white, or the background that was trained."""

    def __post_init__(self) -> None:
        if not self.outputs:
            raise ValueError("outputs: must name at least one of video, contact-sheet")
        for name in ("frames", "frames_per_second", "sides"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.size < 16 or self.size % 2:
            raise ValueError(f"size: must be even and at least 16, got {self.size}")
        if self.sides > self.frames:
            raise ValueError(f"sides: must be at most frames ({self.frames}), got {self.sides}")
