"""Settings of the surface geometries. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from bozzetto.fields import FilePath, Length, Range, Share, check_fields
from bozzetto.parameters import ParameterSpec, Specs, under
from bozzetto.recipe import Component
from bozzetto_plugins.geometry.config import (
    FeatureGridConfig,
    HashGridConfig,
    grid_specs,
)

Axis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]


@dataclass(frozen=True)
class SurfaceFeaturesConfig(FeatureGridConfig):
    """Settings of the hash grid and MLP that provide features on a surface; fields are those of `hash-grid`."""

    def parameter_specs(self) -> Specs:
        """Return the specs of the hash table and of the MLP."""
        return grid_specs(self.grid(), self.hidden_width, self.hidden_layers, {"feature_network": self.feature_count})

    def unlike(self, field: HashGridConfig) -> list[str]:
        """Return the differences that prevent copying features from a density field, one phrase each."""
        names = [item.name for item in fields(self) if item.name != "compute_dtype"]
        pairs = [(name, getattr(field, name), getattr(self, name)) for name in names]
        return [f"{name} is {theirs} there and {ours} here" for name, theirs, ours in pairs if theirs != ours]


@dataclass(frozen=True)
class AssetConfig:
    """Mesh file and its placement in the world: centred, z up, front toward +x."""

    path: Annotated[str, FilePath()] = ""
    """Path of a `.glb`, `.gltf`, `.obj`, `.ply`, `.off` or `.stl` file; empty: a built-in example mesh, a plain
    chair."""
    up: Axis = "+y"
    """Axis of the file that points up; +y in glTF and in the files that this program exports."""
    front: Axis = "+z"
    """Axis of the file that points to the front; +z in glTF and in the files that this program exports."""
    extent: Share = 0.7
    """Half of the object's longest side after scaling, as a fraction of the scene's radius; 0: neither scale nor
    centre, the file is in world units."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.up[1] == self.front[1]:
            raise ValueError(f"front: must be perpendicular to up, got {self.front} and {self.up}")

    def require_readable(self, radius: float) -> None:
        """Read the file, if given. Raises `ConfigError` if it cannot be used in a cube of half side `radius`."""
        if self.path:
            from bozzetto_plugins.geometry.mesh_readers.placed import placed_triangles

            placed_triangles(self, radius)


@dataclass(frozen=True)
class DmtetConfig:
    """Settings of `dmtet`."""

    radius: Length = 1.0
    """Half side of the cube [-radius, radius]^3 that contains the surface, world units."""
    resolution: Annotated[int, Range(least=4, most=512)] = 64
    """Cells of the tetrahedral grid per axis; each is split into 12 tetrahedra. 128 requires a GPU."""
    start: Literal["sphere", "ellipsoid", "mesh"] = "sphere"
    """Initial shape, used if the stage does not inherit one from the previous stage."""
    start_radius: Length = 0.5
    """Radius of the initial sphere, world units."""
    start_axes: tuple[Length, Length, Length] = (0.5, 0.5, 0.5)
    """Half axes of the initial ellipsoid along x, y and z, world units."""
    start_mesh: AssetConfig = field(default_factory=AssetConfig)
    """Closed mesh used as initial shape; its colours are ignored."""
    threshold: Annotated[float, Range(least=1e-6, most=1e12)] | None = None
    """Density threshold of the surface of the previous stage, per world unit; null: the one with the best mask IoU."""
    inherit_features: bool = True
    """Copy the features of the previous stage's density field; requires a hash grid with the same settings."""
    deform: bool = True
    """Train offsets of the grid vertices, at most a fifth of a cell along each axis."""
    smooth_gradient: Annotated[int, Range(least=0, most=1000)] = 4
    """Number of averaging passes of the signed distances' gradient over neighbouring vertices, so that the surface
    moves coherently; 0: no averaging."""
    lock_geometry: bool = False
    """Freeze the shape; only the features are trained."""
    lock_texture: bool = False
    """Freeze the features; only the shape is trained."""
    features: SurfaceFeaturesConfig = field(default_factory=SurfaceFeaturesConfig)
    """Hash grid that provides the features on the surface."""

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
        """Number of features passed to the material."""
        return self.features.feature_count

    def parameter_specs(self) -> Specs:
        """Return the specs of the signed distances and offsets of the grid vertices, and of the features."""
        count, moved = (self.resolution + 1) ** 3 + self.resolution**3, not self.lock_geometry
        specs = {"sdf": ParameterSpec((count,), moved)}
        specs |= {"offset": ParameterSpec((count, 3), moved)} if self.deform else {}
        features = under("features", self.features.parameter_specs())
        return specs | {name: ParameterSpec(spec.shape, not self.lock_texture) for name, spec in features.items()}

    def require_readable(self) -> None:
        """Read the initial mesh, if `start` is `mesh`. Raises `ConfigError` if it cannot be used."""
        if self.start == "mesh":
            self.start_mesh.require_readable(self.radius)

    def check_start(self, before: Component) -> None:
        """Raise `ValueError` if this geometry cannot be initialised from the geometry of the previous stage."""
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
    """Settings of `mesh`."""

    radius: Length = 1.0
    """Half side of the cube [-radius, radius]^3 that contains the surface, world units."""
    asset: AssetConfig = field(default_factory=AssetConfig)
    """Mesh file that defines the shape."""
    start_colors: bool = False
    """Start with the colours of the file, its texture's or its vertices': the features are fitted to them, which takes
    seconds. Materials read them from the first three features. False: colours of the file are ignored."""
    features: SurfaceFeaturesConfig = field(default_factory=SurfaceFeaturesConfig)
    """Hash grid that provides the features on the surface."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.start_colors and self.features.feature_count < 3:
            raise ValueError(
                f"start_colors: needs three features, got features.feature_count={self.features.feature_count}"
            )

    @property
    def feature_count(self) -> int:
        """Number of features passed to the material."""
        return self.features.feature_count

    def parameter_specs(self) -> Specs:
        """Return the specs of the features; the faces are not trained."""
        return under("features", self.features.parameter_specs())

    def require_readable(self) -> None:
        """Read the mesh as a run does. Raises `ConfigError` if it cannot be used."""
        self.asset.require_readable(self.radius)

    def check_start(self, before: Component) -> None:
        """Raise `ValueError` if the previous stage has a different mesh: the mesh is saved with the scene."""
        theirs = before.config
        if isinstance(theirs, MeshConfig) and (theirs.asset, theirs.radius) != (self.asset, self.radius):
            name, theirs_name = self.asset.path or "the example chair", theirs.asset.path or "the example chair"
            raise ValueError(
                f"asset: the stage before has {theirs_name}, radius {theirs.radius:g}, and this one {name}, radius "
                f"{self.radius:g}, or they are placed differently. Make them alike, or leave geometry out of inherit"
            )
