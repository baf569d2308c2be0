"""Differences between a rendering and a photo as pure functions. Values and gradients are finite for empty masks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["angular_difference", "correlation", "masked_square_error"]

LEAST_VARIANCE = 1e-8
"""Added to variances, so that a constant image has correlation 0 and a finite gradient."""


def masked_square_error(
    a: Float[Tensor, "B H W C"], b: Float[Tensor, "B H W C"], mask: Float[Tensor, "B H W 1"]
) -> Float[Tensor, ""]:
    """Compute the mean over all pixels and channels of mask (a - b)^2."""
    return (mask * (a - b).square()).mean()


def correlation(
    a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"], weight: Float[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Compute Pearson's coefficient in [-1, 1] with non-negative weights per element; 0 where one input is constant."""
    total = weight.sum().clamp(min=LEAST_VARIANCE)
    a = a - (weight * a).sum() / total
    b = b - (weight * b).sum() / total
    variances = ((weight * a.square()).sum() / total) * ((weight * b.square()).sum() / total)
    return ((weight * a * b).sum() / total) / torch.sqrt(variances + LEAST_VARIANCE**2)


def angular_difference(
    a: Float[Tensor, "B H W 3"], b: Float[Tensor, "B H W 3"], weight: Float[Tensor, "B H W 1"]
) -> Float[Tensor, ""]:
    """Compute the weighted mean of 1 - cos of the angle between directions, in [0, 2]; 0 where all weights are 0."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1, eps=1e-6)[..., None]
    return (weight * (1.0 - cosine)).sum() / weight.sum().clamp(min=1.0)
