"""Options of `gaussians`, `splatting` and `splat-ply`. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GaussiansConfig:
    """Options of `gaussians`."""

    radius: float = 1.0
    """Half side of the cube [-radius, radius]^3 the Gaussians live in, world units."""
    count: int = 4096
    """How many Gaussians; none is ever added, those that nobody sees are moved to where they are needed."""
    spread: float = 0.25
    """Standard deviation of their first positions, as a share of the radius."""
    size: float = 0.04
    """Standard deviation of each Gaussian at first, as a share of the radius."""
    opacity: float = 0.1
    """Opacity in the middle of each Gaussian at first."""

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
    """Options of `splatting`."""

    rasterizer: Literal["auto", "torch", "gsplat"] = "auto"
    """`auto` takes the package gsplat for tensors on CUDA where it is installed, and torch otherwise."""
    relocate_every: int = 100
    """Steps between moves of Gaussians that have become invisible onto visible ones; 0: never."""
    relocate_until_step: int = 5000
    """First step at which none is moved any more."""
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
    """Options of `splat-ply`."""

    min_opacity: float = 0.005
    """Gaussians fainter than this are left out."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_opacity < 1.0:
            raise ValueError(f"min_opacity: must lie in [0, 1), got {self.min_opacity}")
