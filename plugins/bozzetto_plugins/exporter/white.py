"""White background for exported images and comparisons."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.types import Rays


class White(nn.Module):
    """Background that is white everywhere."""

    def forward(self, rays: Rays, generator: torch.Generator | None) -> Float[Tensor, "R 3"]:
        """Return RGB 1 for each ray; `generator` is ignored."""
        return torch.ones_like(rays.direction)
