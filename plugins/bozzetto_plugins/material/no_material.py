"""Unlit material: the colour depends only on the features."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.types import Cameras, FieldOutput, Shading
from bozzetto_plugins.material.config import NoMaterialConfig


class NoMaterial(nn.Module):
    """Unlit material: color = sigmoid(features) for three features, else sigmoid of a small MLP of the features."""

    def __init__(self, config: NoMaterialConfig, feature_count: int) -> None:
        super().__init__()
        self.config = config
        self.to_rgb = nn.Identity() if feature_count == 3 else _network(feature_count, config)

    def sample_shading(self, cameras: Cameras, step: int, generator: torch.Generator) -> Shading:
        """Return unlit shading; draws no random numbers."""
        return self.eval_shading(cameras)

    def eval_shading(self, cameras: Cameras) -> Shading:
        """Return unlit shading: ambient light 1, no diffuse light."""
        nothing = torch.zeros_like(cameras.position)
        return Shading("albedo", nothing, torch.ones_like(nothing), nothing)

    def forward(
        self, field: FieldOutput, points: Float[Tensor, "S 3"], view: Int[Tensor, "S"], shading: Shading
    ) -> Float[Tensor, "S 3"]:
        """Return the albedo, ignoring `shading`."""
        return self.albedo(field.features)

    def albedo(self, features: Float[Tensor, "S F"]) -> Float[Tensor, "S 3"]:
        """Return the colour of each point, RGB in (0, 1)."""
        return torch.sigmoid(self.to_rgb(features))


def _network(feature_count: int, config: NoMaterialConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = feature_count
    for _ in range(config.hidden_layers):
        layers += [nn.Linear(width, config.hidden_width), nn.ReLU()]
        width = config.hidden_width
    return nn.Sequential(*layers, nn.Linear(width, 3))
