"""Density field as a residual MLP of sines and cosines."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bozzetto.math.encodings import frequency_encoding
from bozzetto.types import FieldOutput
from bozzetto_plugins.geometry.config import FrequencyMlpConfig
from bozzetto_plugins.geometry.density_field import DensityField


class ResidualBlock(nn.Module):
    """Residual block silu(x + norm(linear(x))) of constant width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "S W"]) -> Float[Tensor, "S W"]:
        """Return the block output, of the shape of `x`."""
        return functional.silu(x + self.norm(self.linear(x)))


class FrequencyMlp(nn.Module):
    """Density field: NeRF's positional encoding (Mildenhall et al. 2020) and residual blocks with layer norm and SiLU.

    The trunk is that of DreamFusion (Poole et al. 2022, appendix) and of stable-dreamfusion's `vanilla` backbone; all
    activations are SiLU, so that analytic normals are smooth. The coordinates are concatenated to the encoding, whose
    lowest frequency cannot distinguish opposite faces of the cube.

    Trainable parameters, for optimiser groups by prefix: `trunk`, `density_network`, `feature_network`, and
    `normal_network` if normals are predicted. Implements `bozzetto.kinds.geometry.Geometry`.
    """

    def __init__(self, config: FrequencyMlpConfig) -> None:
        super().__init__()
        self.config = config
        self.radius = config.radius
        self.feature_count = config.feature_count
        blocks = [ResidualBlock(config.width) for _ in range(config.depth - 1)]
        self.trunk = nn.Sequential(nn.Linear(3 + 6 * config.frequencies, config.width), nn.SiLU(), *blocks)
        self.density_network = nn.Linear(config.width, 1)
        for parameter in self.density_network.parameters():
            nn.init.zeros_(parameter)  # initially the field is its bias, however high the frequencies
        self.feature_network = nn.Linear(config.width, config.feature_count)
        self.normal_network = nn.Linear(config.width, 3) if config.normal == "predicted" else None

    def encode(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S E"]:
        """Return the output of the trunk."""
        unit = (points / self.radius).clamp(-1.0, 1.0)
        encoded: Tensor = self.trunk(torch.cat([unit, frequency_encoding(unit, self.config.frequencies)], dim=-1))
        return encoded

    @property
    def _field(self) -> DensityField:
        return DensityField(self.config, self.encode, self.density_network, self.feature_network, self.normal_network)

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        """Return density, features and, if `normal`, the normals at world points. S may be 0."""
        return self._field.output(points, normal)

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Return the density alone, per world unit, at world points."""
        return self._field.density(points)

    def set_step(self, step: int) -> None:
        """Do nothing: the field has no schedules."""

    def total_variation(self) -> Float[Tensor, ""]:
        """Return 0: the field has no grid."""
        return self.density_network.weight.new_zeros(())
