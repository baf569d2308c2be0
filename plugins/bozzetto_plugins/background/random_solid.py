"""Background with a random colour per training view, so that the object cannot rely on any one colour."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.math.constants import constant
from bozzetto.types import Rays
from bozzetto_plugins.background.config import WHITE, RandomSolidConfig
from bozzetto_plugins.background.views import spread, uniform_per_view


class RandomSolid(nn.Module):
    """One colour per view: white or uniform in [0, 1]^3 in training, fixed in evaluation. Has no parameters."""

    def __init__(self, config: RandomSolidConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, rays: Rays, generator: torch.Generator | None) -> Float[Tensor, "R 3"]:
        """Return RGB in [0, 1] per ray: random per view, or `eval_color` if there is no generator."""
        if generator is None:
            return constant(self.config.eval_color, rays.direction.device).expand(len(rays), -1)
        drawn = uniform_per_view(rays, 4, generator)
        white = drawn[:, 3:] < self.config.white_probability
        return spread(torch.where(white, constant(WHITE, drawn.device), drawn[:, :3]), rays)
