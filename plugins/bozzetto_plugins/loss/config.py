"""Settings of the built-in losses. Weights are the recipe's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SparsityConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class OpacityEntropyConfig:
    of: Literal["pixels", "samples"] = "pixels"
    """Opacity of each pixel, or weight of each sample along the rays (needs a volume renderer)."""
    margin: float = 1e-5
    """Values nearer to 0 or 1 than this are left alone."""

    def __post_init__(self) -> None:
        if not 0.0 < self.margin < 0.5:
            raise ValueError(f"margin: must lie in (0, 0.5), got {self.margin}")


@dataclass(frozen=True)
class OpaqueConfig:
    margin: float = 1e-3
    """Opacities nearer to 0 or 1 than this are left alone."""

    def __post_init__(self) -> None:
        if not 0.0 < self.margin < 0.5:
            raise ValueError(f"margin: must lie in (0, 0.5), got {self.margin}")


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
    epsilon: float = 0.01
    """Standard deviation of the distance to the neighbouring point, world units."""
    max_points: int = 16384
    """At most this many of the samples, drawn at random, are compared with a neighbour."""

    def __post_init__(self) -> None:
        if self.epsilon <= 0.0:
            raise ValueError(f"epsilon: must be above 0, got {self.epsilon}")
        if self.max_points < 1:
            raise ValueError(f"max_points: must be at least 1, got {self.max_points}")


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
    points: int = 16384
    """Points drawn uniformly from the scene's cube."""
    within: float | None = None
    """Only points whose signed distance is below this count, world units; null: all. Distances of `dmtet` are cut off
    at one cell when it starts, so give about a cell there."""

    def __post_init__(self) -> None:
        if self.points < 1:
            raise ValueError(f"points: must be at least 1, got {self.points}")
        if self.within is not None and not self.within > 0.0:
            raise ValueError(f"within: must be above 0 or null, got {self.within}")


@dataclass(frozen=True)
class ReferenceColorConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class ReferenceMaskConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class ReferenceDepthCorrelationConfig:
    """Nothing to set."""


@dataclass(frozen=True)
class ReferenceNormalConfig:
    """Nothing to set."""
