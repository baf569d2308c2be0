"""Settings of `voxels`. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_RESOLUTION = 256


@dataclass(frozen=True)
class VoxelsConfig:
    """Settings of `voxels`."""

    radius: float = 1.0
    """Half side of the cube [-radius, radius]^3 that contains the field, world units."""
    resolution: int = 128
    """Voxels per axis, at most 256."""
    blob_scale: float = 10.0
    """Raw density at the origin of the cone-shaped initial density."""
    blob_std: float = 0.5
    """Radius of the initial cone, as a fraction of `radius`."""
    normal_step: float = 1.0
    """Finite-difference step of the normals, in voxels; larger gives smoother normals."""

    def __post_init__(self) -> None:
        for name in ("radius", "blob_std", "normal_step"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name}: must be above 0, got {getattr(self, name)}")
        if not 4 <= self.resolution <= LARGEST_RESOLUTION:
            raise ValueError(f"resolution: must lie in [4, {LARGEST_RESOLUTION}], got {self.resolution}")
