"""Random numbers that are shared by all rays of a view, and by the views of a group."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from bozzetto.math.view_draws import draw_groups
from bozzetto.types import Rays


def uniform_per_view(rays: Rays, channels: int, generator: torch.Generator) -> Float[Tensor, "B {channels}"]:
    """Draw uniform numbers in [0, 1), one row per view, equal in each group of views."""
    return draw_groups(
        lambda n, g: torch.rand(n, channels, generator=g, device=g.device),
        rays.image_shape[0],
        rays.views_per_group,
        generator,
    )


def spread(per_view: Shaped[Tensor, "B C"], rays: Rays) -> Shaped[Tensor, "R C"]:
    """Repeat the row of each view for all its rays."""
    views, height, width = rays.image_shape
    return per_view[:, None].expand(views, height * width, -1).reshape(views * height * width, -1)
