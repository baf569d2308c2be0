"""Settings of the built-in losses. Weights are set in the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bozzetto.fields import Length, Range, check_fields
from bozzetto.recipe import Stage, Task

Margin = Annotated[float, Range(least=1e-6, below=0.5)]
"""Clamping margin of opacities away from 0 and 1; at least 1e-6, so that the logarithm is finite in float32."""
Points = Annotated[int, Range(least=1, most=1 << 24)]


def check_map(name: str, task: Task | None) -> None:
    """Raise `ValueError` if the photo of the task's view source has no map of this name."""
    if task is not None and not getattr(task.views.config, name, name):
        raise ValueError(f"it compares with a {name} map, and there is none. Set {task.views.where}.{name}, or drop it")


@dataclass(frozen=True)
class SparsityConfig:
    """No settings."""


@dataclass(frozen=True)
class OpacityEntropyConfig:
    """Settings of the entropy loss of opacities or sample weights, in bits."""

    of: Literal["pixels", "samples"] = "pixels"
    """Entropy of pixel opacities, or of the sample weights along rays (needs a volume renderer)."""
    margin: Margin = 1e-5
    """Values are clamped to [margin, 1 - margin]; those outside get no gradient."""

    def __post_init__(self) -> None:
        check_fields(self)

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if `of` is `samples` and the renderer has no samples along rays."""
        if self.of == "samples" and "volume" not in stage.renderer.entry.spec.provides:
            raise ValueError(f"of: 'samples' needs samples along rays, and renderer {stage.renderer.name!r} has none")


@dataclass(frozen=True)
class OpaqueConfig:
    """Settings of the entropy loss of pixel opacities, in nats."""

    margin: Margin = 1e-3
    """Opacities are clamped to [margin, 1 - margin]; those outside get no gradient."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class OrientationConfig:
    """No settings."""


@dataclass(frozen=True)
class TotalVariationConfig:
    """No settings."""


@dataclass(frozen=True)
class NormalSmoothness2dConfig:
    """No settings."""


@dataclass(frozen=True)
class NormalSmoothness3dConfig:
    """Settings of the smoothness loss of normals in space."""

    epsilon: Annotated[float, Range(least=1e-6, most=1e3)] = 0.01
    """Standard deviation of the offset to the neighbouring point, world units."""
    max_points: Points = 16384
    """Maximum number of samples compared with a neighbour; drawn at random if there are more."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class DistortionConfig:
    """No settings."""


@dataclass(frozen=True)
class WeightDecayConfig:
    """No settings."""


@dataclass(frozen=True)
class NormalConsistencyConfig:
    """No settings."""


@dataclass(frozen=True)
class LaplacianSmoothnessConfig:
    """No settings."""


@dataclass(frozen=True)
class EdgeLengthConfig:
    """No settings."""


@dataclass(frozen=True)
class EikonalConfig:
    """Settings of the eikonal loss of signed distances."""

    points: Points = 16384
    """Number of points drawn uniformly from the scene's cube."""
    within: Length | None = None
    """Only points with |signed distance| below this count, world units; null: all. `dmtet` starts with distances
    clamped to one cell, so use about one cell there."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ReferenceColorConfig:
    """No settings."""


@dataclass(frozen=True)
class ReferenceMaskConfig:
    """No settings."""


@dataclass(frozen=True)
class ReferenceDepthCorrelationConfig:
    """No settings."""

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the photo has no depth map."""
        check_map("depth", task)


@dataclass(frozen=True)
class ReferenceNormalConfig:
    """No settings."""

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the photo has no normal map."""
        check_map("normal", task)
