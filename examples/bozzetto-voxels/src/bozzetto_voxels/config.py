"""Options of `voxels`. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_RESOLUTION = 256


@dataclass(frozen=True)
class VoxelsConfig:
    """Options of `voxels`."""

    radius: float = 1.0
    """Half side of the cube [-radius, radius]^3 the field lives in, world units."""
    resolution: int = 128
    """Voxels per axis, at most 256."""
    blob_scale: float = 10.0
    """Raw density at the origin of the cone that every scene starts from."""
    blob_std: float = 0.5
    """Radius of that cone, as a share of `radius`: the object starts this large."""
    normal_step: float = 1.0
    """Step of the finite differences that give normals, voxels; larger means smoother normals."""

    def __post_init__(self) -> None:
        for name in ("radius", "blob_std", "normal_step"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name}: must be above 0, got {getattr(self, name)}")
        if not 4 <= self.resolution <= LARGEST_RESOLUTION:
            raise ValueError(f"resolution: must lie in [4, {LARGEST_RESOLUTION}], got {self.resolution}")
