"""Settings of the density-field geometries. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from bozzetto.fields import Depth, Length, Range, Width, check_fields
from bozzetto.kernels.grid_spec import MAX_RESOLUTION, GridSpec, Interpolation
from bozzetto.math.schedules import Schedule
from bozzetto.parameters import ParameterSpec, Specs, linear

DensityActivation = Literal["exp", "softplus"]
DensityBias = Literal["none", "blob-dreamfusion", "blob-magic3d"]
NormalMethod = Literal["analytic", "finite-difference", "predicted"]
ComputeDtype = Literal["float32", "bfloat16"]
Levels = Annotated[int, Range(least=1, most=32)]
FeaturesPerLevel = Annotated[int, Range(least=1, most=8)]
Log2TableSize = Annotated[int, Range(least=3, most=24)]
Resolution = Annotated[int, Range(least=2, most=MAX_RESOLUTION)]
FeatureCount = Annotated[int, Range(least=1, most=1024)]
BlobScale = Annotated[float, Range(least=-50.0, most=50.0)]
"""Range of raw blob densities whose exponential is finite in float32."""
Difference = Annotated[float, Range(least=1e-6, most=10.0)]


@dataclass(frozen=True)
class DensityFieldConfig:
    """Settings shared by the density fields."""

    radius: Length = 1.0
    """Half side of the cube [-radius, radius]^3 that contains the field, world units."""
    density_activation: DensityActivation = "softplus"
    """Activation from raw density to density: `softplus`, or `exp` with a bounded gradient."""
    density_bias: DensityBias = "blob-magic3d"
    """Bias added to the raw density, so that the scene starts as a blob at the origin."""
    blob_scale: BlobScale = 10.0
    """Raw density of the blob at the origin (DreamFusion: 5)."""
    blob_std: Length = 0.5
    """Standard deviation of the blob, world units (DreamFusion: 0.2)."""
    normal: NormalMethod = "analytic"
    """Normals from the density gradient (`analytic`), from finite differences, or `predicted` by a separate network."""
    finite_difference_eps: Difference = 0.01
    """Step size of finite differences, world units; larger gives smoother normals."""
    finite_difference_samples: Literal[4, 6] = 6
    """Density evaluations per finite-difference normal; 4 is cheaper and less accurate."""
    feature_count: FeatureCount = 3
    """Number of features passed to the material."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class FeatureGridConfig:
    """Settings shared by the hash grids and the MLPs that decode them."""

    levels: Levels = 16
    """Number of resolutions of the grid."""
    features_per_level: FeaturesPerLevel = 2
    """Features stored per grid vertex and level."""
    log2_table_size: Log2TableSize = 19
    """Log2 of the maximum number of table entries per level; 15 to 17 is 2 times faster without a GPU."""
    base_resolution: Resolution = 16
    """Vertices per axis of the coarsest level."""
    finest_resolution: Resolution = 2048
    """Vertices per axis of the finest level."""
    interpolation: Interpolation = "linear"
    """Interpolation between grid vertices: `linear`, or `smoothstep`, which makes normals continuous."""
    hidden_width: Width = 64
    """Width of the hidden layers of the MLPs that decode the grid."""
    hidden_layers: Depth = 1
    """Number of hidden layers of each MLP."""
    compute_dtype: ComputeDtype = "float32"
    """Data type of the hidden layers; `bfloat16` is faster if they are wide or several."""
    feature_count: FeatureCount = 3
    """Number of features passed to the material."""

    def __post_init__(self) -> None:
        check_fields(self)
        self.grid()

    def grid(self) -> GridSpec:
        """Return the grid's specification; its growth factor per level follows from `finest_resolution`."""
        return GridSpec.up_to(
            self.finest_resolution,
            levels=self.levels,
            features=self.features_per_level,
            log2_table_size=self.log2_table_size,
            base_resolution=self.base_resolution,
            interpolation=self.interpolation,
        )


@dataclass(frozen=True)
class HashGridConfig(DensityFieldConfig, FeatureGridConfig):
    """Settings of `hash-grid`."""

    levels_active: Annotated[Schedule, Range(least=1.0, most=1000.0)] | None = None
    """Schedule of the number of active levels, coarsest first, rounded down; null: always all levels."""

    def __post_init__(self) -> None:
        check_fields(self)
        self.grid()

    def parameter_specs(self) -> Specs:
        """Return the specs of the hash table and of the MLPs."""
        outputs = {"density_network": 1, "feature_network": self.feature_count}
        outputs |= {"normal_network": 3} if self.normal == "predicted" else {}
        return grid_specs(self.grid(), self.hidden_width, self.hidden_layers, outputs)


@dataclass(frozen=True)
class SdfGridConfig(FeatureGridConfig):
    """Settings of `sdf-grid`."""

    radius: Length = 1.0
    """Half side of the cube [-radius, radius]^3 that contains the field, world units."""
    sphere_radius: Length = 0.5
    """Radius of the sphere that the scene starts as, world units."""
    beta: Annotated[float, Range(least=1e-4, most=10.0)] = 0.1
    """Initial thickness of the density around the surface, world units; it is trained (VolSDF, Yariv et al. 2021)."""
    least_beta: Annotated[float, Range(least=1e-6, most=10.0)] = 0.005
    """Lower bound of the thickness, world units; about a marching step of the renderer, which misses thinner walls."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= self.least_beta:
            raise ValueError(f"beta: must be above least_beta ({self.least_beta:g}), got {self.beta:g}")
        if self.sphere_radius >= self.radius:
            raise ValueError(f"sphere_radius: must be below radius ({self.radius:g}), got {self.sphere_radius:g}")

    def parameter_specs(self) -> Specs:
        """Return the specs of the hash table, the MLPs and the thickness."""
        outputs = {"sdf_network": 1, "feature_network": self.feature_count}
        specs = grid_specs(self.grid(), self.hidden_width, self.hidden_layers, outputs)
        return specs | {"beta": ParameterSpec(())}


@dataclass(frozen=True)
class FrequencyMlpConfig(DensityFieldConfig):
    """Settings of `frequency-mlp`."""

    frequencies: Annotated[int, Range(least=1, most=16)] = 6
    """Octaves of the positional encoding; 6 gives smooth shapes, 12 fine detail."""
    width: Width = 64
    """Width of the hidden layers."""
    depth: Depth = 4
    """Number of hidden layers: an input layer, then residual blocks."""

    def parameter_specs(self) -> Specs:
        """Return the specs of the trunk and of its output layers."""
        specs = linear("trunk.0", 3 + 6 * self.frequencies, self.width)
        for index in range(2, self.depth + 1):
            specs |= linear(f"trunk.{index}.linear", self.width, self.width)
            specs |= {f"trunk.{index}.norm.{name}": ParameterSpec((self.width,)) for name in ("weight", "bias")}
        specs |= linear("density_network", self.width, 1) | linear("feature_network", self.width, self.feature_count)
        return specs | (linear("normal_network", self.width, 3) if self.normal == "predicted" else {})


def grid_specs(grid: GridSpec, width: int, layers: int, outputs: Mapping[str, int]) -> dict[str, ParameterSpec]:
    """Return the specs of a hash table and of the MLPs that decode it; `outputs` maps MLP names to output widths."""
    specs = {"encoding": ParameterSpec((grid.entry_count, grid.features))}
    for name, last in outputs.items():
        widths = pairwise([grid.feature_count, *[width] * layers, last])
        specs |= {f"{name}.weights.{i}": ParameterSpec((after, before)) for i, (before, after) in enumerate(widths)}
    return specs
