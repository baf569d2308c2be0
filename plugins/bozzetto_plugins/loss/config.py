"""Settings of the built-in losses. Weights are the recipe's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bozzetto.fields import Length, Range, check_fields
from bozzetto.recipe import Stage, Task

Margin = Annotated[float, Range(least=1e-6, below=0.5)]
"""An opacity so far from 0 and 1 has a finite logarithm in 32 bits."""
Points = Annotated[int, Range(least=1, most=1 << 24)]


def check_map(name: str, task: Task | None) -> None:
    """Raises `ValueError` if the photo of the task's view source comes without this map."""
    if task is not None and not getattr(task.views.config, name, name):
        raise ValueError(f"it compares with a {name} map, and there is none. Set {task.views.where}.{name}, or drop it")


@dataclass(frozen=True)
class SparsityConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class OpacityEntropyConfig:
    of: Literal["pixels", "samples"] = "pixels"
    """Opacity of each pixel, or weight of each sample along the rays (needs a volume renderer)."""
    margin: Margin = 1e-5
    """Values nearer to 0 or 1 than this are left alone."""

    def __post_init__(self) -> None:
        check_fields(self)

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raises `ValueError` if there are no samples along rays."""
        if self.of == "samples" and "volume" not in stage.renderer.entry.spec.provides:
            raise ValueError(f"of: samples are those along rays, and renderer {stage.renderer.name!r} has none")


@dataclass(frozen=True)
class OpaqueConfig:
    margin: Margin = 1e-3
    """Opacities nearer to 0 or 1 than this are left alone."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class OrientationConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class TotalVariationConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class NormalSmoothness2dConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class NormalSmoothness3dConfig:
    epsilon: Annotated[float, Range(least=1e-6, most=1e3)] = 0.01
    """Standard deviation of the distance to the neighbouring point, world units."""
    max_points: Points = 16384
    """At most this many of the samples, drawn at random, are compared with a neighbour."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class DistortionConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class WeightDecayConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class NormalConsistencyConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class LaplacianSmoothnessConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class EdgeLengthConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class EikonalConfig:
    points: Points = 16384
    """Points drawn uniformly from the scene's cube."""
    within: Length | None = None
    """Only points whose signed distance is below this count, world units; null: all. Distances of `dmtet` are cut off
    at one cell when it starts, so give about a cell there."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ReferenceColorConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class ReferenceMaskConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class ReferenceDepthCorrelationConfig:
    """Nothing to set."""

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raises `ValueError` if the photo has no depth map."""
        check_map("depth", task)


@dataclass(frozen=True)
class ReferenceNormalConfig:
    """Nothing to set."""

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raises `ValueError` if the photo has no normal map."""
        check_map("normal", task)
