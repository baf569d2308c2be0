"""Options of the geometries that are surfaces. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from bozzetto.fields import FilePath
from bozzetto.kernels.grid_spec import GridSpec, Interpolation

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]
ComputeDtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class SurfaceFeaturesConfig:
    """A hash grid and a small network that give the features on a surface; fields mean what they do in `hash-grid`."""

    levels: int = 16
    """Number of resolutions of the grid."""
    features_per_level: int = 2
    """Numbers stored per grid vertex and level."""
    log2_table_size: int = 19
    """At most 2 to this power vertices per level."""
    base_resolution: int = 16
    """Vertices per axis of the coarsest level."""
    finest_resolution: int = 2048
    """Vertices per axis of the finest level."""
    interpolation: Interpolation = "linear"
    """`linear` or `smoothstep`."""
    hidden_width: int = 64
    """Width of the hidden layers of the network."""
    hidden_layers: int = 1
    """Number of hidden layers."""
    compute_dtype: ComputeDtype = "float32"
    """Number format of the hidden layers."""
    feature_count: int = 3
    """Width of the features handed to the material."""

    def __post_init__(self) -> None:
        for name in ("hidden_width", "hidden_layers", "feature_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if not 1 <= self.features_per_level <= 8:
            raise ValueError(f"features_per_level: must lie in [1, 8], got {self.features_per_level}")
        self.grid()

    def grid(self) -> GridSpec:
        """The grid described."""
        return GridSpec.up_to(
            self.finest_resolution,
            levels=self.levels,
            features=self.features_per_level,
            log2_table_size=self.log2_table_size,
            base_resolution=self.base_resolution,
            interpolation=self.interpolation,
        )


@dataclass(frozen=True)
class AssetConfig:
    """A mesh file, and how it is placed in the world: centred, z up, front toward +x."""

    path: Annotated[str, FilePath()] = ""
    """A `.glb`, `.gltf`, `.obj`, `.ply`, `.off` or `.stl` file, relative to where the command runs; empty: a plain
    chair made in code, to try things with."""
    up: Axis = "+y"
    """The file's axis that points up. glTF, and what this program exports: +y."""
    front: Axis = "+z"
    """The file's axis that points to the front. glTF, and what this program exports: +z."""
    extent: float = 0.7
    """Half of the object's longest side, as a share of the scene's radius; the object is scaled to it. 0: not at all,
    and not centred either: the file is in world units."""

    def __post_init__(self) -> None:
        if self.up[1] == self.front[1]:
            raise ValueError(f"front: must be perpendicular to up, got {self.front} and {self.up}")
        if not 0.0 <= self.extent <= 1.0:
            raise ValueError(f"extent: must lie in [0, 1], got {self.extent}")


@dataclass(frozen=True)
class DmtetConfig:
    """Options of `dmtet`."""

    radius: float = 1.0
    """Half side of the cube [-radius, radius]^3 the surface lives in, world units."""
    resolution: int = 64
    """Cells of the tetrahedral grid along each axis; each is cut into 12 tetrahedra. 128 needs a GPU."""
    start: Literal["sphere", "ellipsoid", "mesh"] = "sphere"
    """First shape, where the stage does not inherit one from the stage before."""
    start_radius: float = 0.5
    """Of the sphere, world units."""
    start_axes: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Half axes of the ellipsoid along x, y and z, world units."""
    start_mesh: AssetConfig = field(default_factory=AssetConfig)
    """The closed mesh to start from; its surface alone is read, not its colours."""
    threshold: float | None = None
    """Density that counts as solid in a stage before that has densities, per world unit; null: chosen by its masks."""
    inherit_features: bool = True
    """Whether colours, too, start from a stage before with densities; its hash grid must then be like this one's."""
    deform: bool = True
    """Whether grid vertices may move, by at most a fifth of a cell along each axis."""
    smooth_gradient: int = 4
    """Times that the gradient of the signed distances is averaged with neighbouring vertices, so that the surface moves
    as a whole, not vertex by vertex; 0: as it is."""
    lock_geometry: bool = False
    """Keep the shape as it starts: only features are trained."""
    lock_texture: bool = False
    """Keep the features as they start: only the shape is trained."""
    features: SurfaceFeaturesConfig = field(default_factory=SurfaceFeaturesConfig)
    """The hash grid that gives the features on the surface."""

    def __post_init__(self) -> None:
        if not self.radius > 0.0:
            raise ValueError(f"radius: must be above 0, got {self.radius}")
        if self.resolution < 4:
            raise ValueError(f"resolution: must be at least 4, got {self.resolution}")
        largest = self.radius * (1.0 - 2.0 / self.resolution)
        if not 0.0 < self.start_radius <= largest:
            raise ValueError(f"start_radius: must lie in (0, {largest:g}] to fit the cube, got {self.start_radius}")
        if not all(0.0 < axis <= largest for axis in self.start_axes):
            raise ValueError(f"start_axes: must lie in (0, {largest:g}] to fit the cube, got {list(self.start_axes)}")
        if self.threshold is not None and not self.threshold > 0.0:
            raise ValueError(f"threshold: must be above 0 or null, got {self.threshold}")
        if self.smooth_gradient < 0:
            raise ValueError(f"smooth_gradient: must be at least 0, got {self.smooth_gradient}")
        if self.lock_geometry and self.lock_texture:
            raise ValueError("lock_texture: with lock_geometry nothing is left to train")


@dataclass(frozen=True)
class MeshConfig:
    """Options of `mesh`."""

    radius: float = 1.0
    """Half side of the cube [-radius, radius]^3 the surface lives in, world units."""
    asset: AssetConfig = field(default_factory=AssetConfig)
    """The file, which gives the shape; its own colours are not read."""
    features: SurfaceFeaturesConfig = field(default_factory=SurfaceFeaturesConfig)
    """The hash grid that gives the features on the surface."""

    def __post_init__(self) -> None:
        if not self.radius > 0.0:
            raise ValueError(f"radius: must be above 0, got {self.radius}")
