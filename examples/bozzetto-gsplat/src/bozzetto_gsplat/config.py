"""Settings of `gaussians`, `splatting` and `splat-ply`. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GaussiansConfig:
    """Settings of `gaussians`."""

    radius: float = 1.0
    """Half side of the cube [-radius, radius]^3 that contains the Gaussians, world units."""
    count: int = 4096
    """Number of Gaussians, fixed; invisible ones are relocated to where they are needed."""
    spread: float = 0.25
    """Standard deviation of the initial positions, as a fraction of the radius."""
    size: float = 0.04
    """Initial standard deviation of each Gaussian, as a fraction of the radius."""
    opacity: float = 0.1
    """Initial opacity at the centre of each Gaussian."""

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError(f"count: must be at least 2, got {self.count}")
        for name in ("radius", "spread", "size"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name}: must be above 0, got {getattr(self, name)}")
        if not 0.0 < self.opacity < 1.0:
            raise ValueError(f"opacity: must lie in (0, 1), got {self.opacity}")


@dataclass(frozen=True)
class SplattingConfig:
    """Settings of `splatting`."""

    rasterizer: Literal["auto", "torch", "gsplat"] = "auto"
    """Rasteriser; `auto`: the package gsplat for CUDA tensors if it is installed, else torch."""
    relocate_every: int = 100
    """Steps between relocations of invisible Gaussians onto visible ones; 0: never."""
    relocate_until_step: int = 5000
    """First step without relocation."""
    dead_below: float = 0.005
    """Opacity below which a Gaussian counts as invisible."""

    def __post_init__(self) -> None:
        for name in ("relocate_every", "relocate_until_step"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be at least 0, got {getattr(self, name)}")
        if not 0.0 <= self.dead_below < 1.0:
            raise ValueError(f"dead_below: must lie in [0, 1), got {self.dead_below}")


@dataclass(frozen=True)
class SplatPlyConfig:
    """Settings of `splat-ply`."""

    min_opacity: float = 0.005
    """Gaussians with a lower opacity are omitted."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_opacity < 1.0:
            raise ValueError(f"min_opacity: must lie in [0, 1), got {self.min_opacity}")
