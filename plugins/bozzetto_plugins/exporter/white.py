"""The plain background that pictures and comparisons use."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.types import Rays


class White(nn.Module):
    """A background that is white everywhere."""

    def forward(self, rays: Rays, generator: torch.Generator | None) -> Float[Tensor, "R 3"]:
        return torch.ones_like(rays.direction)
