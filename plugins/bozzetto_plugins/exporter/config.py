"""Settings of the built-in exporters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bozzetto.fields import Range, check_fields

LARGEST_TEXTURE = 8192
"""Largest texture side in pixels that common viewers can load."""

LARGEST_RESOLUTION = 1024
"""Largest number of grid points per axis; their densities, 4 bytes each, take 4.3 GB."""
MOST_FACES = 16_000_000
"""Largest triangle count: the rasteriser's triangle indices end at 2^24."""
FIELD_FACES, FIELD_COMPONENT_SHARE = 20_000, 0.01
"""Defaults of `max_faces` and `min_component_share` for a surface that is not the user's own mesh."""


@dataclass(frozen=True)
class MeshConfig:
    """Settings of the export from a trained scene to a textured triangle mesh."""

    formats: tuple[Literal["glb", "obj", "ply", "stl"], ...] = ("glb", "obj")
    """Files to write: `glb` (one file with embedded texture), `obj` (with .mtl and .png), `ply` (vertex colours), `stl`
    (shape only)."""
    scale: Annotated[float, Range(least=1e-6, most=1e6)] = 1.0
    """Scale of the exported mesh, metres per world unit."""
    origin: Literal["none", "center", "bottom"] = "none"
    """Origin of the file: `none` keeps the world's origin, `center` uses the centre of the object's bounding box,
    `bottom` the centre of the box's floor, so that the object rests on the ground."""
    resolution: Annotated[int, Range(least=8, most=LARGEST_RESOLUTION)] = 128
    """Grid points per axis at which the density is sampled, at most 1024; each of the resolution^3 points takes 4
    bytes. Ignored for mesh geometries, like `threshold`, `fill_reach` and `smoothing_iterations`."""
    threshold: Annotated[float, Range(least=1e-6, most=1e12)] | Literal["auto"] = "auto"
    """Density of the extracted surface, per world unit; `auto` selects the one whose silhouettes agree best with those
    of the volume."""
    fill_reach: Annotated[int, Range(least=0, most=64)] = 1
    """Fill pits and cracks of a density field up to 2 * fill_reach grid points wide; 0: none."""
    min_component_share: Annotated[float, Range(least=0.0, below=1.0)] | None = None
    """Connected components with a smaller share of all faces are dropped; the largest is always kept. null: 0.01, or
    all components kept for the user's own mesh."""
    smoothing_iterations: Annotated[int, Range(least=0, most=1000)] = 3
    """Iterations of Taubin smoothing, which removes grid artefacts without shrinking the object; 0: none."""
    max_faces: Annotated[int, Range(least=4, most=MOST_FACES)] | None = None
    """Meshes with more triangles are simplified to this many. null: 20000, or no limit for the user's own mesh."""
    texture_size: Annotated[int, Range(least=16, most=LARGEST_TEXTURE)] = 1024
    """Side of the square texture, pixels."""
    bake_samples: Annotated[int, Range(least=1, most=64)] = 4
    """Samples per texel, half a grid cell apart from the surface inward, composited like the volume renderer; mesh
    geometries use one."""
    chunk_points: Annotated[int, Range(least=1, most=1 << 30)] = 65_536
    """Points evaluated per batch; bounds memory, does not affect the result."""
    verify_views: Annotated[int, Range(least=0, most=64)] = 4
    """Number of views in which each file is read back, rendered and compared with the training renderer; 0: no
    comparison."""
    verify_size: Annotated[int, Range(least=8, most=4096)] = 128
    """Height and width of the comparison renders, pixels."""

    def __post_init__(self) -> None:
        if not self.formats:
            raise ValueError("formats: must name at least one of glb, obj, ply, stl")
        check_fields(self)

    def least_bytes(self) -> dict[str, int]:
        """Return the memory in bytes of the density grid, and of the colour and mask of all texels."""
        return {"resolution": 4 * self.resolution**3, "texture_size": 16 * self.texture_size**2}


@dataclass(frozen=True)
class TurntableConfig:
    """Settings of renders of the scene from all around."""

    outputs: tuple[Literal["video", "contact-sheet"], ...] = ("video", "contact-sheet")
    """Files to write: `video` is turntable.mp4, `contact-sheet` is contact_sheet.png."""
    frames: Annotated[int, Range(least=1, most=3600)] = 60
    """Frames in one turn around the object."""
    frames_per_second: Annotated[int, Range(least=1, most=240)] = 30
    """Frame rate of the video."""
    size: Annotated[int, Range(least=16, most=4096)] = 256
    """Height and width of each frame, pixels; even, as H.264 requires."""
    sides: Annotated[int, Range(least=1, most=64)] = 8
    """Columns of the contact sheet, evenly spaced in azimuth and taken from the video's frames."""
    background: Literal["white", "scene"] = "white"
    """Background: plain white, or the trained one."""

    def __post_init__(self) -> None:
        if not self.outputs:
            raise ValueError("outputs: must name at least one of video, contact-sheet")
        check_fields(self)
        if self.size % 2:
            raise ValueError(f"size: must be even and at least 16, got {self.size}")
        if self.sides > self.frames:
            raise ValueError(f"sides: must be at most frames ({self.frames}), got {self.sides}")

    def least_bytes(self) -> dict[str, int]:
        """Return the memory in bytes of the video's frames, 8 bits per channel."""
        return {"frames": 3 * self.frames * self.size**2 if "video" in self.outputs else 0}
