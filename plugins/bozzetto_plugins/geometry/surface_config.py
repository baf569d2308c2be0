"""Options of the geometries that are surfaces. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from bozzetto.fields import Depth, FilePath, Length, Range, Share, Width, check_fields
from bozzetto.kernels.grid_spec import GridSpec, Interpolation
from bozzetto.parameters import ParameterSpec, Specs, under
from bozzetto.recipe import Component
from bozzetto_plugins.geometry.config import (
    ComputeDtype,
    FeatureCount,
    FeaturesPerLevel,
    HashGridConfig,
    Levels,
    Log2TableSize,
    Resolution,
    grid_specs,
)

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]


@dataclass(frozen=True)
class SurfaceFeaturesConfig:
    """A hash grid and a small network that give the features on a surface; fields mean what they do in `hash-grid`."""

    levels: Levels = 16
    """Number of resolutions of the grid."""
    features_per_level: FeaturesPerLevel = 2
    """Numbers stored per grid vertex and level."""
    log2_table_size: Log2TableSize = 19
    """At most 2 to this power vertices per level."""
    base_resolution: Resolution = 16
    """Vertices per axis of the coarsest level."""
    finest_resolution: Resolution = 2048
    """Vertices per axis of the finest level."""
    interpolation: Interpolation = "linear"
    """`linear` or `smoothstep`."""
    hidden_width: Width = 64
    """Width of the hidden layers of the network."""
    hidden_layers: Depth = 1
    """Number of hidden layers."""
    compute_dtype: ComputeDtype = "float32"
    """Number format of the hidden layers."""
    feature_count: FeatureCount = 3
    """Width of the features handed to the material."""

    def __post_init__(self) -> None:
        check_fields(self)
        self.grid()

    def parameter_specs(self) -> Specs:
        """The table and the network."""
        return grid_specs(self.grid(), self.hidden_width, self.hidden_layers, {"feature_network": self.feature_count})

    def unlike(self, field: HashGridConfig) -> list[str]:
        """Differences to a density field for which features cannot be taken over from it; a phrase for each."""
        names = [item.name for item in fields(self) if item.name != "compute_dtype"]
        pairs = [(name, getattr(field, name), getattr(self, name)) for name in names]
        return [f"{name} is {theirs} there and {ours} here" for name, theirs, ours in pairs if theirs != ours]

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
    """A `.glb`, `.gltf`, `.obj`, `.ply`, `.off` or `.stl` file, or nothing: a plain chair made in code, to try
    things with."""
    up: Axis = "+y"
    """The file's axis that points up. glTF, and what this program exports: +y."""
    front: Axis = "+z"
    """The file's axis that points to the front. glTF, and what this program exports: +z."""
    extent: Share = 0.7
    """Half of the object's longest side, as a share of the scene's radius; the object is scaled to it. 0: not at all,
    and not centred either: the file is in world units."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.up[1] == self.front[1]:
            raise ValueError(f"front: must be perpendicular to up, got {self.front} and {self.up}")

    def require_readable(self, radius: float) -> None:
        """Read the file, if one is given. Raises `ConfigError` if it cannot be used in a cube of this half side."""
        if self.path:
            from bozzetto_plugins.geometry.mesh_readers.placed import placed_triangles

            placed_triangles(self, radius)


@dataclass(frozen=True)
class DmtetConfig:
    """Options of `dmtet`."""

    radius: Length = 1.0
    """Half side of the cube [-radius, radius]^3 the surface lives in, world units."""
    resolution: Annotated[int, Range(least=4, most=512)] = 64
    """Cells of the tetrahedral grid along each axis; each is cut into 12 tetrahedra. 128 needs a GPU."""
    start: Literal["sphere", "ellipsoid", "mesh"] = "sphere"
    """First shape, where the stage does not inherit one from the stage before."""
    start_radius: Length = 0.5
    """Of the sphere, world units."""
    start_axes: tuple[Length, Length, Length] = (0.5, 0.5, 0.5)
    """Half axes of the ellipsoid along x, y and z, world units."""
    start_mesh: AssetConfig = field(default_factory=AssetConfig)
    """The closed mesh to start from; its surface alone is read, not its colours."""
    threshold: Annotated[float, Range(least=1e-6, most=1e12)] | None = None
    """Density that counts as solid in a stage before that has densities, per world unit; null: chosen by its masks."""
    inherit_features: bool = True
    """Whether colours, too, start from a stage before with densities; its hash grid must then be like this one's."""
    deform: bool = True
    """Whether grid vertices may move, by at most a fifth of a cell along each axis."""
    smooth_gradient: Annotated[int, Range(least=0, most=1000)] = 4
    """Times that the gradient of the signed distances is averaged with neighbouring vertices, so that the surface moves
    as a whole, not vertex by vertex; 0: as it is."""
    lock_geometry: bool = False
    """Keep the shape as it starts: only features are trained."""
    lock_texture: bool = False
    """Keep the features as they start: only the shape is trained."""
    features: SurfaceFeaturesConfig = field(default_factory=SurfaceFeaturesConfig)
    """The hash grid that gives the features on the surface."""

    def __post_init__(self) -> None:
        check_fields(self)
        largest = self.radius * (1.0 - 2.0 / self.resolution)
        if not 0.0 < self.start_radius <= largest:
            raise ValueError(f"start_radius: must lie in (0, {largest:g}] to fit the cube, got {self.start_radius}")
        if not all(0.0 < axis <= largest for axis in self.start_axes):
            raise ValueError(f"start_axes: must lie in (0, {largest:g}] to fit the cube, got {list(self.start_axes)}")
        if self.lock_geometry and self.lock_texture:
            raise ValueError("lock_texture: with lock_geometry nothing is left to train")

    @property
    def feature_count(self) -> int:
        """Width of the features handed to the material."""
        return self.features.feature_count

    def parameter_specs(self) -> Specs:
        """Signed distances and offsets at the grid's vertices, and the features."""
        count, moved = (self.resolution + 1) ** 3 + self.resolution**3, not self.lock_geometry
        specs = {"sdf": ParameterSpec((count,), moved)}
        specs |= {"offset": ParameterSpec((count, 3), moved)} if self.deform else {}
        features = under("features", self.features.parameter_specs())
        return specs | {name: ParameterSpec(spec.shape, not self.lock_texture) for name, spec in features.items()}

    def require_readable(self) -> None:
        """Read the mesh to start from, if there is one."""
        if self.start == "mesh":
            self.start_mesh.require_readable(self.radius)

    def check_start(self, before: Component) -> None:
        """Raises `ValueError` if a stage with this geometry cannot start from that of the stage before."""
        if isinstance(before.config, DmtetConfig):
            return
        if "density" not in before.entry.spec.provides:
            raise ValueError(f"type: dmtet cannot start from {before.name!r}, which has no densities")
        if not self.inherit_features:
            return
        if not isinstance(before.config, HashGridConfig):
            raise ValueError(
                f"inherit_features: the stage before has geometry {before.name!r}, and only the colours of a hash-grid "
                "can be taken over. Set it to false to train the colours anew"
            )
        unlike = self.features.unlike(before.config)
        if self.radius != before.config.radius:
            unlike.append(f"radius is {before.config.radius} there and {self.radius} here")
        if unlike:
            raise ValueError(
                f"features: cannot start from the stage before: {'; '.join(unlike)}. Make them alike, or set "
                "inherit_features: false to train the colours anew"
            )


@dataclass(frozen=True)
class MeshConfig:
    """Options of `mesh`."""

    radius: Length = 1.0
    """Half side of the cube [-radius, radius]^3 the surface lives in, world units."""
    asset: AssetConfig = field(default_factory=AssetConfig)
    """The file, which gives the shape; its own colours are not read."""
    features: SurfaceFeaturesConfig = field(default_factory=SurfaceFeaturesConfig)
    """The hash grid that gives the features on the surface."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def feature_count(self) -> int:
        """Width of the features handed to the material."""
        return self.features.feature_count

    def parameter_specs(self) -> Specs:
        """The features; the triangles stay as they are."""
        return under("features", self.features.parameter_specs())

    def require_readable(self) -> None:
        """Read the mesh as a run will."""
        self.asset.require_readable(self.radius)

    def check_start(self, before: Component) -> None:
        """Raises `ValueError` if the stage before has other triangles: they are saved with the scene."""
        theirs = before.config
        if isinstance(theirs, MeshConfig) and (theirs.asset, theirs.radius) != (self.asset, self.radius):
            name, theirs_name = self.asset.path or "the example chair", theirs.asset.path or "the example chair"
            raise ValueError(
                f"asset: the stage before has {theirs_name}, radius {theirs.radius:g}, and this one {name}, radius "
                f"{self.radius:g}, or they are placed differently. Make them alike, or leave geometry out of inherit"
            )
