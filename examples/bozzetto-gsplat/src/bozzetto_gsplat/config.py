"""Settings of `gaussians`, `splatting` and `splat-ply`. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from bozzetto.fields import Range, Share, Step, check_fields

MOST = 10_000_000
"""Largest number of Gaussians that a config allows."""


@dataclass(frozen=True)
class GaussiansConfig:
    """Settings of `gaussians`."""

    radius: float = 1.0
    """Half side of the cube [-radius, radius]^3 that contains the Gaussians, world units."""
    count: int = 4096
    """Number of Gaussians at first; it changes during training if `densify_every` is not 0."""
    spread: float = 0.25
    """Standard deviation of the initial positions, as a fraction of the radius."""
    size: float = 0.04
    """Initial standard deviation of each Gaussian, as a fraction of the radius."""
    opacity: float = 0.1
    """Initial opacity at the centre of each Gaussian."""
    densify_every: Step = 0
    """Steps between densifications, which prune Gaussians of low opacity and clone or split some others; 0: never."""
    densify_from_step: Step = 500
    """Finished steps before the first densification."""
    densify_until_step: Step = 5000
    """Finished steps from which on there is no densification."""
    densify_share: Share = 0.1
    """Share of the Gaussians that is cloned or split each time: those with the largest mean position gradient since the
    last time. A share, since gradients scale with the weights of the losses."""
    split_above: Annotated[float, Range(least=0.0, most=10.0)] = 0.05
    """Largest scale above which a Gaussian is split instead of cloned, as a fraction of the radius."""
    prune_opacity: Annotated[float, Range(least=0.0, below=1.0)] = 0.005
    """Opacity below which a Gaussian is removed; 0: none is."""
    most_gaussians: Annotated[int, Range(least=2, most=MOST)] = 100_000
    """Largest number of Gaussians to which densification leads."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.count < 2:
            raise ValueError(f"count: must be at least 2, got {self.count}")
        for name in ("radius", "spread", "size"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name}: must be above 0, got {getattr(self, name)}")
        if not 0.0 < self.opacity < 1.0:
            raise ValueError(f"opacity: must lie in (0, 1), got {self.opacity}")
        self._check_densification()

    def densifies(self, done: int) -> bool:
        """Return whether there is a densification after `done` finished steps."""
        due = bool(self.densify_every) and done % self.densify_every == 0
        return due and self.densify_from_step <= done < self.densify_until_step

    @property
    def last_densification(self) -> int:
        """Finished steps at the last densification; 0 if there is none."""
        every = self.densify_every
        last = (self.densify_until_step - 1) // every * every if every else 0
        return last if last > 0 and self.densifies(last) else 0

    def _check_densification(self) -> None:
        """Refuse densification without effect; raises `ValueError`."""
        if not self.densify_every:
            for item in fields(self):
                if item.name in DENSIFICATION and getattr(self, item.name) != item.default:
                    raise ValueError(
                        f"{item.name}: has no effect while densify_every is 0. Set densify_every, or drop it"
                    )
        elif not self.last_densification:
            raise ValueError(
                f"densify_until_step: no multiple of densify_every ({self.densify_every}) lies in "
                f"[{self.densify_from_step}, {self.densify_until_step})"
            )
        elif self.most_gaussians < self.count:
            raise ValueError(f"most_gaussians: must be at least count ({self.count}), got {self.most_gaussians}")
        elif not self.densify_share and not self.prune_opacity:
            raise ValueError("densify_share: must be above 0 if prune_opacity is 0; else densification changes nothing")


DENSIFICATION = (
    "densify_from_step", "densify_until_step", "densify_share", "split_above", "prune_opacity", "most_gaussians",
)  # fmt: skip
"""Fields of `GaussiansConfig` that act through `densify_every` only."""


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
