"""How alike two pictures are."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

LEAST_ERROR = 1e-10
"""Mean squared error of equal pictures: 100 dB, so that the number stays finite."""


def psnr_db(first: Float[Tensor, "*any"], second: Float[Tensor, "*any"]) -> Float[Tensor, ""]:
    """Peak signal-to-noise ratio of values in [0, 1]: -10 log10 of the mean squared error, at most 100 dB."""
    return -10.0 * (first - second).square().mean().clamp(min=LEAST_ERROR).log10()
