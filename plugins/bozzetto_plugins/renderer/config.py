"""Settings of the built-in renderers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class VolumeConfig:
    samples_per_ray: int = 512
    """Steps across the cube's diagonal; those in empty cells are skipped. 64 to 96 suit small pictures on a CPU."""
    occupancy_resolution: int = 64
    """Cells along each side of the occupancy grid."""
    occupancy_threshold: float = 0.01
    """A cell is empty when one step through it absorbs less than this share of light (or than the average cell)."""
    occupancy_decay: float = 0.95
    """At each look a cell keeps at least this share of the density it was last known to have."""
    update_every: int = 16
    """Steps between two looks at the cells."""
    warm_up_steps: int = 256
    """Before this step an update looks at all cells, later at the occupied ones and a quarter of the others in turn."""
    prune_weight: float = 0.0
    """If above 0, a first pass drops samples that contribute less than this, e.g. 0.0001, and shades only the rest."""
    max_samples: int = 524288
    """At most this many samples at a time in pictures for people; bounds memory, changes nothing else."""

    def __post_init__(self) -> None:
        for name in ("samples_per_ray", "occupancy_resolution", "update_every", "max_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        for name in ("occupancy_threshold", "prune_weight"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}: must lie in [0, 1), got {getattr(self, name)}")
        if not 0.0 <= self.occupancy_decay <= 1.0:
            raise ValueError(f"occupancy_decay: must lie in [0, 1], got {self.occupancy_decay}")
        if self.warm_up_steps < 0:
            raise ValueError(f"warm_up_steps: must be at least 0, got {self.warm_up_steps}")


@dataclass(frozen=True)
class MeshConfig:
    normals: Literal["smooth", "flat"] = "smooth"
    """Normals interpolated between vertices, or one for each triangle."""
