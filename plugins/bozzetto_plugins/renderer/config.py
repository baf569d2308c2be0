"""Settings of the built-in renderers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bozzetto.fields import Range, Share, Step, check_fields
from bozzetto.math.schedules import LAST_STEP
from bozzetto.parameters import Specs

Part = Annotated[float, Range(least=0.0, below=1.0)]


@dataclass(frozen=True)
class VolumeConfig:
    samples_per_ray: Annotated[int, Range(least=1, most=16384)] = 512
    """Steps across the cube's diagonal; those in empty cells are skipped. 64 to 96 suit small pictures on a CPU."""
    occupancy_resolution: Annotated[int, Range(least=1, most=256)] = 64
    """Cells along each side of the occupancy grid."""
    occupancy_threshold: Part = 0.01
    """A cell is empty when one step through it absorbs less than this share of light (or than the average cell)."""
    occupancy_decay: Share = 0.95
    """At each look a cell keeps at least this share of the density it was last known to have."""
    update_every: Annotated[int, Range(least=1, most=LAST_STEP)] = 16
    """Steps between two looks at the cells."""
    warm_up_steps: Step = 256
    """Before this step an update looks at all cells, later at the occupied ones and a quarter of the others in turn."""
    prune_weight: Part = 0.0
    """If above 0, a first pass drops samples that contribute less than this, e.g. 0.0001, and shades only the rest."""
    max_samples: Annotated[int, Range(least=1, most=1 << 30)] = 524288
    """At most this many samples at a time in pictures for people; bounds memory, changes nothing else."""

    def __post_init__(self) -> None:
        check_fields(self)

    def bytes_per_pixel(self) -> int:
        """A ray, and what a sixteenth of its samples leaves for the gradient: the rest may be in empty cells."""
        return 64 + 2 * self.samples_per_ray

    def parameter_specs(self, radius: float) -> Specs:
        """No parameters."""
        return {}


@dataclass(frozen=True)
class MeshConfig:
    normals: Literal["smooth", "flat"] = "smooth"
    """Normals interpolated between vertices, or one for each triangle."""

    def parameter_specs(self, radius: float) -> Specs:
        """No parameters."""
        return {}

    def bytes_per_pixel(self) -> int:
        """Colour, normal, depth, opacity and their gradients."""
        return 64
