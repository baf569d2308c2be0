"""Background of a single colour."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.math.constants import constant
from bozzetto.types import Rays
from bozzetto_plugins.background.config import SolidConfig


class Solid(nn.Module):
    """Background of the configured colour in training and evaluation. Has no parameters."""

    def __init__(self, config: SolidConfig) -> None:
        super().__init__()
        self.color = config.color

    def forward(self, rays: Rays, generator: torch.Generator | None) -> Float[Tensor, "R 3"]:
        """Return the configured colour, RGB in [0, 1], for each ray; `generator` is ignored."""
        return constant(self.color, rays.direction.device).expand(len(rays), -1)
