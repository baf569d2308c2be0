"""Learned environment background: a small MLP of the ray direction."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.math.encodings import frequency_encoding
from bozzetto.math.spherical_harmonics import spherical_harmonics
from bozzetto.types import Rays
from bozzetto_plugins.background.config import NeuralEnvironmentConfig
from bozzetto_plugins.background.views import spread, uniform_per_view


class NeuralEnvironment(nn.Module):
    """Background with color(direction) = sigmoid(mlp(encoding(direction))), randomly replaced per view in training."""

    def __init__(self, config: NeuralEnvironmentConfig) -> None:
        super().__init__()
        self.config = config
        width = config.encoding_width
        layers: list[nn.Module] = []
        for _ in range(config.hidden_layers):
            layers += [nn.Linear(width, config.hidden_width), nn.ReLU()]
            width = config.hidden_width
        self.network = nn.Sequential(*layers, nn.Linear(width, 3), nn.Sigmoid())

    def forward(self, rays: Rays, generator: torch.Generator | None) -> Float[Tensor, "R 3"]:
        """Return RGB in [0, 1] per ray: learned, or random for some views if there is a generator."""
        learned: Tensor = self.network(self._encode(rays.direction))
        if generator is None or self.config.random_probability == 0.0:
            return learned
        drawn = uniform_per_view(rays, 4, generator)
        replaced = drawn[:, 3:] < self.config.random_probability
        return torch.where(spread(replaced, rays), spread(drawn[:, :3], rays), learned)

    def _encode(self, direction: Float[Tensor, "R 3"]) -> Float[Tensor, "R D"]:
        if self.config.encoding == "spherical-harmonics":
            return spherical_harmonics(direction)
        # On an axis, sin and cos of pi x are equal at both poles, so the direction itself is included.
        return torch.cat([direction, frequency_encoding(direction, self.config.frequencies)], dim=-1)
