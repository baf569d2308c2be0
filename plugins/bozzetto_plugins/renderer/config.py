"""Settings of the built-in renderers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bozzetto.fields import Range, Share, Step, check_fields
from bozzetto.math.schedules import LAST_STEP
from bozzetto.parameters import Specs

SHADED_BYTES = 2230
"""Bytes per shaded sample with its normal, that the torch kernels keep or need at a time: 2.08 GiB a million, counted
on a CPU."""
Part = Annotated[float, Range(least=0.0, below=1.0)]


@dataclass(frozen=True)
class VolumeConfig:
    """Settings of volume rendering with an occupancy grid."""

    samples_per_ray: Annotated[int, Range(least=1, most=16384)] = 512
    """Ray-marching steps across the cube's diagonal; empty cells are skipped. 64 to 96 suit small images on a CPU."""
    occupancy_resolution: Annotated[int, Range(least=1, most=256)] = 64
    """Cells per axis of the occupancy grid."""
    occupancy_threshold: Part = 0.01
    """Opacity of one step below which a cell is empty, in [0, 1); the mean over cells is used instead if lower."""
    occupancy_decay: Share = 0.95
    """Decay factor of the running maximum of a cell's density per update, in [0, 1]."""
    update_every: Annotated[int, Range(least=1, most=LAST_STEP)] = 16
    """Training steps between occupancy-grid updates."""
    warm_up_steps: Step = 256
    """Updates before this step sample all cells; later ones the occupied cells and a quarter of the empty cells."""
    prune_weight: Part = 0.0
    """If above 0, a first pass drops samples whose weight is below this, e.g. 0.0001; only the rest are shaded."""
    max_samples: Annotated[int, Range(least=1, most=1 << 30)] = 524288
    """Maximum number of samples per chunk when rendering for evaluation; bounds memory, does not affect the image."""

    def __post_init__(self) -> None:
        check_fields(self)

    def bytes_per_pixel(self) -> int:
        """Return the bytes per ray, assuming that a sixteenth of its samples in occupied cells."""
        return 64 + 2 * self.samples_per_ray

    def gpu_bytes(self, pixels: int) -> int:
        """Return the bytes on a GPU of a step with torch kernels, if an eighth of the steps is in occupied cells."""
        return pixels * self.samples_per_ray // 8 * SHADED_BYTES

    def parameter_specs(self, radius: float) -> Specs:
        """Return an empty mapping: the renderer has no parameters."""
        return {}


@dataclass(frozen=True)
class MeshConfig:
    """Settings of mesh rasterisation."""

    normals: Literal["smooth", "flat"] = "smooth"
    """Normals interpolated between vertices (`smooth`), or one per face (`flat`)."""

    def parameter_specs(self, radius: float) -> Specs:
        """Return an empty mapping: the renderer has no parameters."""
        return {}

    def bytes_per_pixel(self) -> int:
        """Return the bytes per pixel of colour, normal, depth, opacity and their gradients."""
        return 64

    def gpu_bytes(self, pixels: int) -> int:
        """Return the bytes on a GPU of a step with torch kernels, if half of the pixels show the surface."""
        return pixels * SHADED_BYTES // 2
