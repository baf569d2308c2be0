"""Combines conditional and unconditional predictions, always as `uncond + scale * (cond - uncond)`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["cfg", "perp_neg", "perpendicular", "rescale"]


def cfg(cond: Float[Tensor, "B C H W"], uncond: Float[Tensor, "B C H W"], scale: float) -> Float[Tensor, "B C H W"]:
    """Apply classifier-free guidance in Imagen's form (Saharia et al. 2022, sec. 2.2).

    A scale of 1 is `cond`, 0 is `uncond`. The weight of Ho & Salimans 2022 is `scale - 1`.
    """
    return uncond + scale * (cond - uncond)


def perpendicular(vector: Float[Tensor, "*B C H W"], onto: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*B C H W"]:
    """Return the component of each view's `vector` perpendicular to `onto`; all of it where `onto` is zero."""
    dot = (vector * onto).sum(dim=(-3, -2, -1), keepdim=True)
    square = (onto * onto).sum(dim=(-3, -2, -1), keepdim=True)
    ratio = torch.where(square > 0, dot / square.clamp_min(torch.finfo(square.dtype).tiny), torch.zeros_like(dot))
    return vector - ratio * onto


def perp_neg(
    cond: Float[Tensor, "B C H W"],
    uncond: Float[Tensor, "B C H W"],
    negatives: Float[Tensor, "B K C H W"],
    weights: Float[Tensor, "B K"],
    scale: float,
) -> Float[Tensor, "B C H W"]:
    """Apply Perp-Neg (Armandpour et al. 2023): negative prompts act only perpendicular to the positive direction.

    `uncond + scale * (pos + sum_k weight_k perp(neg_k, pos))`, where `pos = cond - uncond` and `neg_k = negatives_k -
    uncond`. Weights are at most 0; all 0 equals `cfg`.
    """
    positive = cond - uncond
    rest = perpendicular(negatives - uncond[:, None], positive[:, None].expand_as(negatives))
    pushed = (weights[:, :, None, None, None] * rest).sum(dim=1)
    return uncond + scale * (positive + pushed)


def rescale(
    guided: Float[Tensor, "B C H W"], cond: Float[Tensor, "B C H W"], factor: float
) -> Float[Tensor, "B C H W"]:
    """Rescale `guided` toward the standard deviation of `cond`, by `factor` in [0, 1] (Lin et al. 2023, sec. 3.4)."""
    ratio = cond.std(dim=(1, 2, 3), keepdim=True) / guided.std(dim=(1, 2, 3), keepdim=True)
    return guided * (1.0 + factor * (ratio - 1.0))
