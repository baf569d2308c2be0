"""Density field on a multiresolution hash grid."""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.kernels.api import GridSpec, SlopedField, hash_encode, hash_field
from bozzetto.types import FieldOutput
from bozzetto_plugins.geometry.config import HashGridConfig
from bozzetto_plugins.geometry.density_field import DensityField
from bozzetto_plugins.geometry.grid_variation import grid_variation
from bozzetto_plugins.geometry.perceptron import Perceptron

INITIAL_ENTRY = 1e-4
"""Table entries are initialised uniformly in [-INITIAL_ENTRY, INITIAL_ENTRY] (Instant NGP, sec. 4)."""


class HashGrid(nn.Module):
    """Density field: Instant NGP's hash encoding (Mueller et al. 2022) with small MLPs for density and features.

    Trainable parameters, for optimiser groups by prefix: `encoding` (the table), `density_network`, `feature_network`,
    and `normal_network` if normals are predicted. Implements `bozzetto.kinds.geometry.Geometry`.
    """

    def __init__(self, config: HashGridConfig) -> None:
        super().__init__()
        self.config = config
        self.radius = config.radius
        self.feature_count = config.feature_count
        self.grid = config.grid()
        table = torch.empty(self.grid.entry_count, self.grid.features)
        self.encoding = nn.Parameter(nn.init.uniform_(table, -INITIAL_ENTRY, INITIAL_ENTRY))
        self.density_network = self._network(1)
        self.feature_network = self._network(config.feature_count)
        self.normal_network = self._network(3) if config.normal == "predicted" else None
        self.set_step(0)

    def _network(self, outputs: int) -> Perceptron:
        config = self.config
        hidden = [config.hidden_width] * config.hidden_layers
        return Perceptron([self.grid.feature_count, *hidden, outputs], getattr(torch, config.compute_dtype))

    def set_step(self, step: int) -> None:
        """Set the number of active levels from the schedule `levels_active`."""
        levels = self.grid.levels
        if self.config.levels_active is not None:
            # A schedule that reaches a whole number at this step may fall short of it by a rounding error.
            levels = min(levels, math.floor(self.config.levels_active.at(step) + 1e-6))
        whole = levels == self.grid.levels
        self.active_grid: GridSpec = self.grid if whole else dataclasses.replace(self.grid, levels=levels)

    def encode(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S E"]:
        """Return the features of the active levels only; the networks treat the missing ones as zero at no cost."""
        return hash_encode(self._unit(points), self._active_table, self.active_grid)

    def _unit(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
        """Map world points to the unit cube."""
        return points * (0.5 / self.radius) + 0.5

    @property
    def _active_table(self) -> Float[Tensor, "P F"]:
        # Pass the whole table itself when possible: the gradient of a slice is copied into a full-size tensor.
        return self.encoding if self.active_grid is self.grid else self.encoding[: self.active_grid.entry_count]

    def _sloped(self, points: Float[Tensor, "S 3"]) -> SlopedField:
        weights = self.density_network.weights_for(self.active_grid.feature_count)
        field = hash_field(self._unit(points), self._active_table, self.active_grid, weights)
        return field._replace(slope=field.slope * (0.5 / self.radius))

    @property
    def _field(self) -> DensityField:
        exact = self.config.compute_dtype == "float32"
        return DensityField(
            self.config, self.encode, self.density_network, self.feature_network, self.normal_network,
            sloped=self._sloped if exact else None,
        )  # fmt: skip

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        """Return density, features and, if `normal`, the normals at world points. S may be 0."""
        return self._field.output(points, normal)

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Return the density alone, per world unit, at world points."""
        return self._field.density(points)

    def total_variation(self) -> Float[Tensor, ""]:
        """Return the total variation of the active levels; see `grid_variation`."""
        return grid_variation(self.encoding, self.active_grid)
