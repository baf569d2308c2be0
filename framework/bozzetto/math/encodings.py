"""Fixed encodings of coordinates."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["frequency_encoding"]


def frequency_encoding(x: Float[Tensor, "N D"], frequencies: int) -> Float[Tensor, "N E"]:
    """Encode as sin(2^k pi x), cos(2^k pi x) for k = 0 .. frequencies - 1, per coordinate; E is 2 * D * frequencies.

    NeRF (Mildenhall et al. 2020), equation 4, for x in [-1, 1].
    """
    octaves = math.pi * 2.0 ** torch.arange(frequencies, device=x.device, dtype=x.dtype)
    angles = x[:, :, None] * octaves
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
