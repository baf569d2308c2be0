"""Signed distance field on a multiresolution hash grid, with a density for volume rendering."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.kernels.api import hash_encode
from bozzetto.math.density import SMALLEST_SQUARED_RADIUS, volsdf_density
from bozzetto.math.normals import with_analytic_normal
from bozzetto.types import FieldOutput
from bozzetto_plugins.geometry.config import SdfGridConfig
from bozzetto_plugins.geometry.grid_variation import grid_variation
from bozzetto_plugins.geometry.hash_grid import INITIAL_ENTRY
from bozzetto_plugins.geometry.perceptron import Perceptron


class SdfGrid(nn.Module):
    """Signed distances as a hash grid's offset from a sphere, rendered by VolSDF's density (Yariv et al. 2021).

    The surface is where the distance is 0; the density around it is as sharp as `beta`, which is trained, is small.
    Trainable parameters, for optimiser groups by prefix: `encoding` (the table), `sdf_network`, `feature_network`,
    `beta`. Implements `bozzetto.kinds.geometry.Geometry`.
    """

    def __init__(self, config: SdfGridConfig) -> None:
        super().__init__()
        self.config = config
        self.radius = config.radius
        self.feature_count = config.feature_count
        self.grid = config.grid()
        table = torch.empty(self.grid.entry_count, self.grid.features)
        self.encoding = nn.Parameter(nn.init.uniform_(table, -INITIAL_ENTRY, INITIAL_ENTRY))
        self.sdf_network = self._network(1)
        self.feature_network = self._network(config.feature_count)
        self.beta = nn.Parameter(torch.tensor(config.beta - config.least_beta))

    def _network(self, outputs: int) -> Perceptron:
        config = self.config
        hidden = [config.hidden_width] * config.hidden_layers
        return Perceptron([self.grid.feature_count, *hidden, outputs], getattr(torch, config.compute_dtype))

    def _distance(self, points: Float[Tensor, "S 3"]) -> tuple[Float[Tensor, "S"], Float[Tensor, "S E"]]:
        """Return the signed distance, and the grid's encoding."""
        encoded = hash_encode(points * (0.5 / self.radius) + 0.5, self.encoding, self.grid)
        squared = (points * points).sum(dim=-1)
        sphere = squared.clamp(min=SMALLEST_SQUARED_RADIUS).sqrt() - self.config.sphere_radius
        return sphere + self.sdf_network(encoded)[:, 0], encoded

    def _density(self, points: Float[Tensor, "S 3"], sdf: Float[Tensor, "S"]) -> Float[Tensor, "S"]:
        inside = points.detach().abs().amax(dim=-1) <= self.radius
        return torch.where(inside, volsdf_density(sdf, self.beta.abs() + self.config.least_beta), 0.0)

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        """Return distance, density, features and, if `normal`, the normals at world points. S may be 0."""
        direction = None
        if normal:
            inward, encoded, direction = with_analytic_normal(self._inward, points)
            sdf = -inward
        else:
            sdf, encoded = self._distance(points)
        return FieldOutput(self.feature_network(encoded), self._density(points, sdf), sdf, direction)

    def _inward(self, points: Float[Tensor, "S 3"]) -> tuple[Float[Tensor, "S"], Float[Tensor, "S E"]]:
        sdf, encoded = self._distance(points)
        return -sdf, encoded

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Return the density alone, per world unit, at world points."""
        return self._density(points, self._distance(points)[0])

    def set_step(self, step: int) -> None:
        """Do nothing: the field has no schedules."""

    def total_variation(self) -> Float[Tensor, ""]:
        """Return the total variation of the grid; see `grid_variation`."""
        return grid_variation(self.encoding, self.grid)
