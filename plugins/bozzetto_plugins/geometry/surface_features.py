"""Features on a surface: the hash grid and MLP of `hash-grid` without density."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.errors import ConfigError
from bozzetto.kernels.api import hash_encode
from bozzetto_plugins.geometry.grid_variation import grid_variation
from bozzetto_plugins.geometry.hash_grid import INITIAL_ENTRY, HashGrid
from bozzetto_plugins.geometry.perceptron import Perceptron
from bozzetto_plugins.geometry.surface_config import SurfaceFeaturesConfig


class SurfaceFeatures(nn.Module):
    """Hash grid and MLP of features. Trainable parameters by prefix: `encoding` (the table) and `feature_network`."""

    def __init__(self, config: SurfaceFeaturesConfig, radius: float) -> None:
        super().__init__()
        self.config, self.radius, self.grid = config, radius, config.grid()
        table = torch.empty(self.grid.entry_count, self.grid.features)
        self.encoding = nn.Parameter(nn.init.uniform_(table, -INITIAL_ENTRY, INITIAL_ENTRY))
        widths = [self.grid.feature_count, *[config.hidden_width] * config.hidden_layers, config.feature_count]
        self.feature_network = Perceptron(widths, getattr(torch, config.compute_dtype))

    def forward(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S F"]:
        """Return the features at world points."""
        encoded = hash_encode(points * (0.5 / self.radius) + 0.5, self.encoding, self.grid)
        features: Tensor = self.feature_network(encoded)
        return features

    def total_variation(self) -> Float[Tensor, ""]:
        """Return the total variation of the table; see `grid_variation`."""
        return grid_variation(self.encoding, self.grid)

    def start_from(self, other: HashGrid) -> None:
        """Copy the table and the feature network of a density field, which preserves the appearance.

        Raises:
            ConfigError: its grid or its network differs; names the fields to change.
        """
        unlike = self.config.unlike(other.config)
        if self.radius != other.radius:
            unlike.append(f"radius is {other.radius} there and {self.radius} here")
        if unlike:
            raise ConfigError(
                f"system.geometry.features cannot start from the stage before: {'; '.join(unlike)}. Make them alike, "
                "or set system.geometry.inherit_features=false to train the colours anew."
            )
        with torch.no_grad():
            self.encoding.copy_(other.encoding)
        self.feature_network.load_state_dict(other.feature_network.state_dict())
