"""Similarity of two images."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["psnr_db"]

LEAST_ERROR = 1e-10
"""Minimum mean squared error, 100 dB, so that the PSNR of equal images is finite."""


def psnr_db(first: Float[Tensor, "*any"], second: Float[Tensor, "*any"]) -> Float[Tensor, ""]:
    """Compute the PSNR of values in [0, 1]: -10 log10 of the mean squared error, at most 100 dB."""
    return -10.0 * (first - second).square().mean().clamp(min=LEAST_ERROR).log10()
