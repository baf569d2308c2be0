"""Fixed mesh from a file with trainable features."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto import types
from bozzetto_plugins.geometry.file_colors import colored_points, fit_colors
from bozzetto_plugins.geometry.mesh_file import Asset, read_asset
from bozzetto_plugins.geometry.mesh_readers.placed import EXAMPLE
from bozzetto_plugins.geometry.surface_config import MeshConfig
from bozzetto_plugins.geometry.surface_features import SurfaceFeatures


class Mesh(nn.Module):
    """Triangles of a file, saved with the scene, and a hash grid of features on them.

    Trainable parameters, for optimiser groups by prefix: `features`. Implements `bozzetto.kinds.geometry.GivenMesh` and
    `bozzetto.kinds.geometry.MadeFromSaved`.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "T 3"]
    triangles_are_given = True

    def __init__(self, config: MeshConfig, saved: Asset | None = None) -> None:
        super().__init__()
        self.config, self.radius = config, config.radius
        self.feature_count = config.features.feature_count
        asset = saved or read_asset(config.asset, config.radius)
        self.notices = asset.notices
        self.register_buffer("vertices", asset.mesh.vertices)
        self.register_buffer("faces", asset.mesh.faces)
        self.features = SurfaceFeatures(config.features, config.radius)
        if config.start_colors and saved is None:
            self.notices = (*self.notices, self._start_colors())

    def _start_colors(self) -> str:
        """Fit the features to the colours of the file; return what the user is told."""
        name = self.config.asset.path or EXAMPLE
        found = colored_points(self.config.asset, self.radius) if self.config.asset.path else None
        if found is None:
            return f"{name} has no colours, and starts grey"
        error = fit_colors(self.features, *found)
        return f"{name}: its colours are taken over, with a mean difference of {255.0 * error:.1f} of 255"

    @classmethod
    def from_saved(cls, config: MeshConfig, state: Mapping[str, Tensor]) -> Mesh:
        """Create the geometry from the triangles of a checkpoint: the file may no longer exist, or have changed."""
        return cls(config, Asset(types.TriangleMesh(state["vertices"], state["faces"]), closed=False, notices=()))

    def extract_mesh(self) -> types.TriangleMesh:
        """Return the triangles in world units; the same tensors at each call."""
        return types.TriangleMesh(self.vertices, self.faces)

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> types.FieldOutput:
        """Return features, and a density of 0 because a surface has no thickness; provides no normals."""
        return types.FieldOutput(self.features(points), density=self.density(points))

    def surface_features(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S F"]:
        """Return the features alone."""
        features: Tensor = self.features(points)
        return features

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Return 0 everywhere."""
        return points.new_zeros(len(points))

    def set_step(self, step: int) -> None:
        """Do nothing: the geometry has no schedules."""

    def total_variation(self) -> Float[Tensor, ""]:
        """Return the total variation of the features' hash grid."""
        return self.features.total_variation()
