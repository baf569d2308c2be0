"""Settings of the built-in renderers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bozzetto.fields import Range, Share, Step, check_fields
from bozzetto.math.schedules import LAST_STEP
from bozzetto.parameters import Specs

SAMPLE_BYTES = 110
"""Bytes that a sample with its normal takes until the end of a step: interval, colour, density, gradients of both."""
SHADED_BYTES = 300
"""The same if its encoding is kept, since all samples are shaded at once."""
SHADING_BYTES = 640
"""Bytes that its shading needs besides for a while, then."""
EVALUATED_BYTES = 16_500
"""Bytes that the torch form of a hash grid with 16 levels and normals needs for each point that it evaluates at a time.
All are counts on a CPU."""
EVALUATED_POINTS = 1 << 16
"""Points that it evaluates at a time, if no fewer are given to it: `bozzetto.kernels.first_order.CHUNK`."""
PIXEL_BYTES = 2230
"""Bytes per pixel of a surface, with all that torch kernels need for it."""
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
    training_samples: Annotated[int, Range(least=0, most=1 << 30)] = 0
    """Samples that are shaded at a time in training, each part once more in the backward pass, so that memory grows
    by colours and densities only; 0: all at once."""
    max_samples: Annotated[int, Range(least=1, most=1 << 30)] = 524288
    """Maximum number of samples per chunk when rendering for evaluation; bounds memory, does not affect the image."""

    def __post_init__(self) -> None:
        check_fields(self)

    def bytes_per_pixel(self) -> int:
        """Return the bytes per ray, assuming that a sixteenth of its samples in occupied cells."""
        return 64 + 2 * self.samples_per_ray

    def kept_bytes(self, pixels: int) -> int:
        """Return the bytes on a GPU that views keep until the end of a step, if an eighth of the cells is occupied."""
        return self._samples(pixels) * (SAMPLE_BYTES if self.training_samples else SHADED_BYTES)

    def passing_bytes(self, pixels: int) -> int:
        """Return the bytes on a GPU that torch kernels need while they shade samples."""
        samples = self._samples(pixels)
        at_once = min(samples, self.training_samples or EVALUATED_POINTS, EVALUATED_POINTS)
        return at_once * EVALUATED_BYTES + (0 if self.training_samples else samples * SHADING_BYTES)

    def _samples(self, pixels: int) -> int:
        return pixels * self.samples_per_ray // 8

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

    def kept_bytes(self, pixels: int) -> int:
        """Return the bytes on a GPU of a step with torch kernels, if half of the pixels show the surface."""
        return pixels * PIXEL_BYTES // 2

    def passing_bytes(self, pixels: int) -> int:
        """Return 0: all is in `kept_bytes`."""
        return 0
