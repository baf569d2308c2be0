"""Surface extracted from a deformable tetrahedral grid (DMTet)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d

from bozzetto.errors import ConfigError
from bozzetto.kinds.scene import Scene
from bozzetto.math.marching_tetrahedra import Cut, cut_of
from bozzetto.math.padded_cut import padded_cut
from bozzetto.math.tetrahedral_grid import TetrahedralGrid
from bozzetto.types import FieldOutput, TriangleMesh
from bozzetto_plugins.geometry import shapes
from bozzetto_plugins.geometry.from_density import solid_from_density
from bozzetto_plugins.geometry.hash_grid import HashGrid
from bozzetto_plugins.geometry.mesh_file import read_asset
from bozzetto_plugins.geometry.signed_distance import distance_to_mesh, lattice_inside
from bozzetto_plugins.geometry.surface_config import DmtetConfig
from bozzetto_plugins.geometry.surface_features import SurfaceFeatures

LARGEST_OFFSET = 0.2
"""Maximum vertex offset along each axis, in cells; prevents inverted tetrahedra for any combination of offsets."""
LARGEST_START = 1.0
"""Clamp of the initial signed distances, in cells. Vertices of edges that cross the surface are closer than this;
vertices farther away can change sign after few steps, so that the surface can move and change its topology."""
LEAST_OUTSIDE = 0.01
"""Minimum signed distance of the outermost vertices, in cells; keeps the surface closed."""
OWN_SHARE = 0.6
"""Smoothing self-weight in (0.5, 1]; above 0.5 keeps the operator invertible."""


class Dmtet(nn.Module):
    """DMTet geometry (Shen et al. 2021): signed distances and small offsets at the vertices of a tetrahedral grid.

    Trainable parameters, for optimiser groups by prefix: `sdf` (in cells, so that a learning rate of 0.01 means a
    hundredth of a cell per step at any resolution), `offset` (before tanh), `features`. Implements
    `bozzetto.kinds.geometry.MeshGeometry` and `bozzetto.kinds.conversion.StartsFromScene`.
    """

    rest: Float[Tensor, "P 3"]
    outermost: Bool[Tensor, "P"]

    def __init__(self, config: DmtetConfig) -> None:
        super().__init__()
        self.config, self.radius = config, config.radius
        self.feature_count = config.features.feature_count
        self.grid = TetrahedralGrid(config.resolution)
        self.notices: tuple[str, ...] = ()
        self.cell = config.radius * self.grid.cell_size
        """Side of a cell, world units."""
        device = torch.get_default_device()
        self.register_buffer("rest", self.radius * self.grid.positions(device), persistent=False)
        self.register_buffer("outermost", self.grid.outermost(device), persistent=False)
        self.sdf = nn.Parameter((self._first_shape() / self.cell).clamp(-LARGEST_START, LARGEST_START))
        self.offset = nn.Parameter(torch.zeros_like(self.rest)) if config.deform else None
        self.features = SurfaceFeatures(config.features, config.radius)
        for parameter in (self.sdf, self.offset):
            if parameter is not None:
                parameter.requires_grad_(not config.lock_geometry)
        self.features.requires_grad_(not config.lock_texture)
        if config.smooth_gradient and not config.lock_geometry:
            self.sdf.register_hook(self._smoothed)
        self._locked: tuple[tuple[object, ...], TriangleMesh] | None = None
        self._edges: tuple[tuple[object, ...], Cut] | None = None
        self._bound = 8 * config.resolution**2
        """Bound of the number of squares that the surface crosses; results do not depend on it."""

    @classmethod
    def from_saved(cls, config: DmtetConfig, state: Mapping[str, Tensor]) -> Dmtet:
        """Create a geometry to be filled from a checkpoint, without reading the initial mesh again."""
        return cls(replace(config, start="sphere"))

    def _first_shape(self) -> Float[Tensor, "P"]:
        """Return the signed distances of the configured initial shape, world units."""
        config = self.config
        if config.start == "sphere":
            return shapes.sphere(self.rest, config.start_radius)
        if config.start == "ellipsoid":
            return shapes.ellipsoid(self.rest, config.start_axes)
        asset = read_asset(config.start_mesh, config.radius)
        mesh, self.notices = asset.mesh, asset.notices
        if not asset.closed:
            self.notices += (
                f"{config.start_mesh.path}: the mesh is not closed: where it has holes, what is inside is guessed",
            )
        axes = self.grid.axes(self.rest.device)
        inside = torch.cat([lattice_inside(self.radius * axis, mesh) for axis in axes])
        return self._signed(inside, mesh)

    def _signed(self, inside: Bool[Tensor, "P"], mesh: TriangleMesh) -> Float[Tensor, "P"]:
        """Return distances to a mesh, world units, negative inside, clamped at `LARGEST_START` cells."""
        distance = distance_to_mesh(self.rest, mesh, LARGEST_START * self.cell)
        return torch.where(inside, -distance, distance)

    def start_from(self, scene: Scene, report: Callable[[str], None]) -> None:
        """Initialise from the shape of a trained density field and, if `inherit_features`, from its hash grid.

        Raises:
            ConfigError: no threshold reproduces the scene's silhouettes, or the hash grids differ.
        """
        config = self.config
        solid = solid_from_density(scene, self.grid, self.rest, config.radius, config.threshold, report)
        with torch.no_grad():
            self.sdf.copy_(self._signed(solid.inside, solid.mesh) / self.cell)
            if self.offset is not None:
                self.offset.zero_()
        if config.inherit_features:
            self.features.start_from(hash_grid_of(scene))
            report("convert   the colours start from the stage before")

    def _smoothed(self, gradient: Float[Tensor, "P"]) -> Float[Tensor, "P"]:
        """Average the gradient with the eight nearest vertices: descent in a Sobolev norm, which keeps surfaces smooth.

        Neuberger 1997, "Sobolev gradients and differential equations"; for meshes, Nicolet et al. 2021, "Large steps in
        inverse rendering of geometry". The stationary points are unchanged. Only vertices of edges that cross the
        surface receive a gradient; without averaging each step moves single vertices and the surface becomes rough. The
        eight are centres around a corner and corners around a centre, which couples the two lattices.

        Vertices that are not adjacent to one with a gradient of its own get none: an optimiser that normalises by
        gradient magnitude would move them as far as the others and create floating specks.
        """
        near = self._averaged((gradient != 0).to(gradient)) > 0
        for _ in range(self.config.smooth_gradient):
            gradient = self._averaged(gradient)
        return gradient * near

    def _averaged(self, values: Float[Tensor, "P"]) -> Float[Tensor, "P"]:
        """Average each vertex with its eight nearest vertices, zero-padded outside the grid."""
        side, cells = self.grid.cells + 1, self.grid.cells
        corners = values[: self.grid.corner_count].view(1, side, side, side)
        centres = values[self.grid.corner_count :].view(1, cells, cells, cells)
        around = avg_pool3d(centres, 2, stride=1, padding=1), avg_pool3d(corners, 2, stride=1)
        parts = torch.lerp(around[0], corners, OWN_SHARE), torch.lerp(around[1], centres, OWN_SHARE)
        return torch.cat([part.reshape(-1) for part in parts])

    def signed_distances(self) -> Float[Tensor, "P"]:
        """Return signed distances at the grid vertices, world units; the outermost vertices are always outside."""
        return self.cell * torch.where(self.outermost, self.sdf.clamp(min=LEAST_OUTSIDE), self.sdf)

    def extract_mesh(self) -> TriangleMesh:
        """Return the current closed surface; the same record at each call while the geometry is locked."""
        if not self.config.lock_geometry:
            return self._cut()
        fixed = [tensor for tensor in (self.sdf, self.offset) if tensor is not None]
        state = (*(tensor._version for tensor in fixed), self.sdf.device)  # loading a checkpoint increments the version
        if self._locked is None or self._locked[0] != state:
            with torch.inference_mode(False), torch.no_grad():
                self._locked = (state, self._cut())
        return self._locked[1]

    def _cut(self) -> TriangleMesh:
        positions = self.rest
        if self.offset is not None:
            positions = positions + (LARGEST_OFFSET * self.cell) * torch.tanh(self.offset)
        sdf = self.signed_distances()
        cut = self._cut_edges(sdf)
        return TriangleMesh(cut.vertices(positions, sdf), cut.faces, closed=True)

    def _cut_edges(self, sdf: Float[Tensor, "P"]) -> Cut:
        """Return which edges are cut: the tasks of a step share it, and each has vertices of its own graph."""
        state = (self.sdf._version, self.sdf.device)
        if self._edges is None or self._edges[0] != state:
            inside = sdf.detach() < 0.0
            with torch.inference_mode(False), torch.no_grad():
                self._edges = (state, self._cut_of(inside.clone()))
        return self._edges[1]

    def _cut_of(self, inside: Bool[Tensor, "P"]) -> Cut:
        """Return the cut: in main memory by the shorter way, on an accelerator by the one that hardly waits for it."""
        if inside.is_cpu:
            return cut_of(inside, self.grid.crossed(inside))
        padded = padded_cut(inside, self.grid, self._bound)
        self._bound = max(1, padded.crossed + padded.crossed // 4)  # surfaces change little in a step
        return padded.cut

    def set_step(self, step: int) -> None:
        """Forget the cut of the step before; the geometry has no schedules."""
        self._edges = None

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        """Return features and the signed distance, linear within each undeformed tetrahedron; provides no normals."""
        vertex, weight = self.grid.locate(points / self.radius)
        return FieldOutput(self.features(points), sdf=(self.signed_distances()[vertex] * weight).sum(dim=1))

    def surface_features(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S F"]:
        """Return the features alone."""
        features: Tensor = self.features(points)
        return features

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Return 0: a surface has no thickness."""
        return points.new_zeros(len(points))

    def total_variation(self) -> Float[Tensor, ""]:
        """Return the total variation of the features' hash grid."""
        return self.features.total_variation()


def hash_grid_of(scene: Scene) -> HashGrid:
    """Return the scene's geometry if it is a hash grid, whose features can be copied.

    Raises:
        ConfigError: it is a different geometry.
    """
    if not isinstance(scene.geometry, HashGrid):
        raise ConfigError(
            f"system.geometry.inherit_features: the stage before has geometry {type(scene.geometry).__name__}, and "
            "only the colours of a hash-grid can be taken over. Set it to false to train the colours anew."
        )
    return scene.geometry
