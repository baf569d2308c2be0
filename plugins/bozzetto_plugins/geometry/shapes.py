"""Signed distances of simple solids, world units, negative inside."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sphere(points: Float[Tensor, "S 3"], radius: float) -> Float[Tensor, "S"]:
    """Return the exact signed distance to a sphere at the origin."""
    distance: Tensor = points.norm(dim=-1)
    return distance - radius


def ellipsoid(points: Float[Tensor, "S 3"], axes: tuple[float, float, float]) -> Float[Tensor, "S"]:
    """Return the approximate signed distance to an ellipsoid: zero and of slope 1 on the surface.

    k0 (k0 - 1) / k1 with k0 = |p / a|, k1 = |p / a^2| (Quilez, "ellipsoid distance"); at the centre, minus the shortest
    half axis.
    """
    half = points.new_tensor(axes)
    k0, k1 = (points / half).norm(dim=-1), (points / half.square()).norm(dim=-1)
    usable = k1 > 0.0
    return torch.where(usable, k0 * (k0 - 1.0) / torch.where(usable, k1, 1.0), -min(axes))
