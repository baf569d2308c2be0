"""Low-rank changes of weights."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["low_rank_change"]


def low_rank_change(up: Float[Tensor, "O R ..."], down: Float[Tensor, "R ..."], alpha: float) -> Float[Tensor, "O N"]:
    """Return the change `alpha / R * B A` of a weight of O rows (LoRA, Hu et al. 2021, sec. 4.1), in float32.

    Args:
        up: B, a matrix, or a convolution with a kernel of one pixel.
        down: A, a matrix, or a convolution; N is the product of its other dimensions.
        alpha: scale, R for none.
    """
    return up.float().flatten(1) @ down.float().flatten(1) * (alpha / len(down))
