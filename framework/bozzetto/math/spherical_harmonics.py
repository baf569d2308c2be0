"""Spherical harmonics encoding of directions."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["spherical_harmonics"]


def spherical_harmonics(direction: Float[Tensor, "R 3"]) -> Float[Tensor, "R 9"]:
    """Evaluate the real, orthonormal spherical harmonics of bands 0, 1 and 2 at unit directions ("degree 3" in papers).

    Order and signs: band by band, m from -l to l, without the Condon-Shortley phase; over the unit sphere the integral
    of the product of any two is 1 if they are the same and 0 otherwise.
    """
    x, y, z = direction.unbind(dim=-1)
    band_1 = math.sqrt(3.0 / (4.0 * math.pi))
    band_2 = math.sqrt(15.0 / (4.0 * math.pi))
    return torch.stack(
        [
            torch.full_like(x, math.sqrt(1.0 / (4.0 * math.pi))),
            band_1 * y,
            band_1 * z,
            band_1 * x,
            band_2 * x * y,
            band_2 * y * z,
            math.sqrt(5.0 / (16.0 * math.pi)) * (3.0 * z * z - 1.0),
            band_2 * x * z,
            0.5 * band_2 * (x * x - y * y),
        ],
        dim=-1,
    )
