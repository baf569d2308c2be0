"""Background protocol: colour of rays that hit nothing. A `torch.nn.Module`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.types import Rays

__all__ = ["Background"]


@runtime_checkable
class Background(Protocol):
    """Background model. Constructor: `Background(config)`."""

    def __call__(self, rays: Rays, generator: torch.Generator | None) -> Float[Tensor, "R 3"]:
        """Return RGB in [0, 1] for each ray. `generator` is None for evaluation, which must be deterministic.

        The views of a group (`rays.views_per_group`) share what is drawn: `bozzetto.math.view_draws.draw_groups`.
        """
