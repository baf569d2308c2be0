"""Density field on a dense voxel grid."""

from __future__ import annotations

import math

import torch
from bozzetto.kernels.api import GridSpec, hash_encode
from bozzetto.math.density import activate_density, blob_magic3d
from bozzetto.math.normals import finite_difference_normal
from bozzetto.types import FieldOutput
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto_voxels.config import VoxelsConfig

FEATURES = 3
INITIAL_STD = 0.01
"""Standard deviation of the initial features around grey; lets the colours of neighbours diverge."""


class Voxels(nn.Module):
    """Dense grid of raw densities and three features per voxel, interpolated trilinearly.

    The density is activated after interpolation, so that a surface can be sharper than a voxel (DVGO, Sun et al. 2022,
    sec. 4.1). Implements `bozzetto.kinds.geometry.Geometry`.

    The grid is one level of the host's grid encoder, too small to be hashed: compiled on a CPU, and on CUDA if a
    package for it is installed.
    """

    def __init__(self, config: VoxelsConfig) -> None:
        super().__init__()
        self.config = config
        self.radius = config.radius
        self.feature_count = FEATURES
        self.spec = GridSpec(
            levels=1,
            features=1 + FEATURES,
            log2_table_size=math.ceil(math.log2(config.resolution**3)),
            base_resolution=config.resolution,
            growth=1.0,
        )
        # The encoder maps x in the unit cube to x * scale + 0.5 voxels; the last half voxel wraps around.
        self.reach = 1.0 - 0.5 / self.spec.table[0].scale
        self.voxel = 2.0 * config.radius / (self.reach * self.spec.table[0].scale)
        """Side of a voxel, world units."""
        values = torch.zeros(self.spec.entry_count, 1 + FEATURES)
        values[:, 1:].normal_(std=INITIAL_STD)
        self.grid = nn.Parameter(values)

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        """Return density, features and, if `normal`, the normals at world points. S may be 0."""
        values = self._blend(points)
        direction = None
        if normal:
            eps = self.config.normal_step * self.voxel
            direction = finite_difference_normal(lambda at: self._raw_density(at, self._blend(at)), points, eps)
        return FieldOutput(values[:, 1:], density=self._density(points, values), normal=direction)

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Return the density alone, per world unit."""
        return self._density(points, self._blend(points))

    def set_step(self, step: int) -> None:
        """Do nothing: the geometry has no schedules."""

    def total_variation(self) -> Float[Tensor, ""]:
        """Return the mean squared difference between neighbouring voxels, over the three axes."""
        side = self.config.resolution
        cube = self.grid[: side**3].view(side, side, side, -1)
        return torch.stack([cube.diff(dim=axis).square().mean() for axis in range(3)]).mean()

    def _blend(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S 4"]:
        """Interpolate raw density and features."""
        unit = (points * (0.5 / self.radius) + 0.5) * self.reach
        return hash_encode(unit, self.grid, self.spec)

    def _raw_density(self, points: Float[Tensor, "S 3"], values: Float[Tensor, "S 4"]) -> Float[Tensor, "S"]:
        return values[:, 0] + blob_magic3d(points, self.config.blob_scale, self.config.blob_std * self.radius)

    def _density(self, points: Float[Tensor, "S 3"], values: Float[Tensor, "S 4"]) -> Float[Tensor, "S"]:
        inside = points.detach().abs().amax(dim=-1) <= self.radius
        return torch.where(inside, activate_density(self._raw_density(points, values), "softplus"), 0.0)
