"""Settings of the built-in exporters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bozzetto.fields import Range, check_fields

LARGEST_TEXTURE = 8192
"""Pixels that every viewer of the last ten years can load."""

LARGEST_RESOLUTION = 1024
"""Grid points a side whose densities, 4 bytes each, fit in 4.3 GB."""
MOST_FACES = 16_000_000
"""Triangle numbers of the rasteriser end at 2^24."""
FIELD_FACES, FIELD_COMPONENT_SHARE = 20_000, 0.01
"""The values that null stands for where the surface is not the user's own mesh."""


@dataclass(frozen=True)
class MeshConfig:
    """From a trained scene to a textured triangle mesh."""

    formats: tuple[Literal["glb", "obj", "ply", "stl"], ...] = ("glb", "obj")
    """Files to write: `glb` (one file, texture inside), `obj` (with .mtl and .png), `ply` (colours on vertices), `stl`
    (shape alone)."""
    scale: Annotated[float, Range(least=1e-6, most=1e6)] = 1.0
    """Metres in the file per world unit."""
    origin: Literal["none", "center", "bottom"] = "none"
    """Point that becomes the file's origin: `none` keeps the world's, `center` is the middle of the object's bounding
    box, `bottom` the middle of its floor, so that the object stands on the ground."""
    resolution: Annotated[int, Range(least=8, most=LARGEST_RESOLUTION)] = 128
    """Grid points along each side of the scene's cube at which the density is looked up, at most 1024; each of the
    resolution^3 points takes 4 bytes. Not read for a geometry that is a mesh already, nor are `threshold`,
    `fill_reach` and `smoothing_iterations`."""
    threshold: Annotated[float, Range(least=1e-6, most=1e12)] | Literal["auto"] = "auto"
    """Density of the surface, per world unit; `auto` takes the one whose silhouette agrees best with what the volume
    shows."""
    fill_reach: Annotated[int, Range(least=0, most=64)] = 1
    """Pits and cracks of a density field, at most twice so many grid points wide, are filled; 0 fills none."""
    min_component_share: Annotated[float, Range(least=0.0, below=1.0)] | None = None
    """Loose pieces with a smaller share of all faces than this are dropped; the largest piece always stays. null: 0.01,
    and for a mesh of one's own all pieces are kept."""
    smoothing_iterations: Annotated[int, Range(least=0, most=1000)] = 3
    """Rounds of Taubin smoothing, which removes the grid's steps without shrinking the object; 0 is none."""
    max_faces: Annotated[int, Range(least=4, most=MOST_FACES)] | None = None
    """Meshes with more triangles are simplified to this many. null: 20000, and a mesh of one's own keeps all of its."""
    texture_size: Annotated[int, Range(least=16, most=LARGEST_TEXTURE)] = 1024
    """Side of the square texture, pixels."""
    bake_samples: Annotated[int, Range(least=1, most=64)] = 4
    """Samples per texel, half a grid cell apart from the surface inward, composited as the volume renderer would; one
    for a geometry that is a mesh."""
    chunk_points: Annotated[int, Range(least=1, most=1 << 30)] = 65_536
    """Points looked up at a time; bounds memory, changes nothing else."""
    verify_views: Annotated[int, Range(least=0, most=64)] = 4
    """Sides from which every file, read back, is drawn and compared with what the training renderer shows; 0 draws
    none."""
    verify_size: Annotated[int, Range(least=8, most=4096)] = 128
    """Height and width of those pictures, pixels."""

    def __post_init__(self) -> None:
        if not self.formats:
            raise ValueError("formats: must name at least one of glb, obj, ply, stl")
        check_fields(self)

    def least_bytes(self) -> dict[str, int]:
        """Densities; colour and mask of each texel."""
        return {"resolution": 4 * self.resolution**3, "texture_size": 16 * self.texture_size**2}


@dataclass(frozen=True)
class TurntableConfig:
    """Pictures of the scene from all around."""

    outputs: tuple[Literal["video", "contact-sheet"], ...] = ("video", "contact-sheet")
    """`video` is turntable.mp4, `contact-sheet` is contact_sheet.png."""
    frames: Annotated[int, Range(least=1, most=3600)] = 60
    """Pictures around the object in one turn."""
    frames_per_second: Annotated[int, Range(least=1, most=240)] = 30
    """Speed of the video."""
    size: Annotated[int, Range(least=16, most=4096)] = 256
    """Height and width of each picture, pixels; even, because H.264 needs it."""
    sides: Annotated[int, Range(least=1, most=64)] = 8
    """Columns of the contact sheet, evenly around the object; taken from the video's pictures."""
    background: Literal["white", "scene"] = "white"
    """Plain white, or the background that was trained."""

    def __post_init__(self) -> None:
        if not self.outputs:
            raise ValueError("outputs: must name at least one of video, contact-sheet")
        check_fields(self)
        if self.size % 2:
            raise ValueError(f"size: must be even and at least 16, got {self.size}")
        if self.sides > self.frames:
            raise ValueError(f"sides: must be at most frames ({self.frames}), got {self.sides}")

    def least_bytes(self) -> dict[str, int]:
        """The pictures of the video, 8 bits a channel."""
        return {"frames": 3 * self.frames * self.size**2 if "video" in self.outputs else 0}
