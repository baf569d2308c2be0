"""Regularisers as pure functions. Values and gradients are finite even without samples."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "binary_entropy",
    "distortion",
    "mean_absolute_difference",
    "mean_square",
    "neighbor_difference",
    "orientation",
    "sparsity",
]

SPARSITY_SOFTENING = 0.01


def sparsity(opacity: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Compute mean sqrt(opacity^2 + 0.01): an absolute value with a smooth gradient at 0. Source: threestudio.

    Between 0.1 (nothing rendered) and about 1.005 (everything opaque).
    """
    return torch.sqrt(opacity.square() + SPARSITY_SOFTENING).mean()


def binary_entropy(probability: Float[Tensor, "*shape"], margin: float) -> Float[Tensor, "*shape"]:
    """Compute -p ln p - (1 - p) ln(1 - p), in nats, of p clamped to [margin, 1 - margin]; no gradient where clamped."""
    p = probability.clamp(margin, 1.0 - margin)
    return -(p * torch.log(p) + (1.0 - p) * torch.log1p(-p))


def orientation(
    weights: Float[Tensor, "S"], normal: Float[Tensor, "S 3"], direction: Float[Tensor, "S 3"], ray_count: int
) -> Float[Tensor, ""]:
    """Compute Ref-NeRF, eq. 11: sum_i w_i max(0, n_i . d_i)^2 per ray, averaged over all rays.

    Penalises visible normals that face away from the camera. Normals point out of the object, `direction` is that of
    the ray, both unit. Weights are detached, so that the scene rotates its normals rather than hides them.
    """
    facing_away = (normal * direction).sum(dim=-1).clamp(min=0.0)
    return (weights.detach() * facing_away.square()).sum() / max(ray_count, 1)


def distortion(
    weights: Float[Tensor, "S"],
    start: Float[Tensor, "S"],
    end: Float[Tensor, "S"],
    ray: Int[Tensor, "S"],
    offsets: Int[Tensor, "R1"],
) -> Float[Tensor, ""]:
    """Compute mip-NeRF 360, eq. 15, averaged over rays: sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 (end_i - start_i).

    m_i is the midpoint of interval i. Samples of a ray are sorted near to far, so the double sum equals 2 sum_i w_i
    (m_i W_i - M_i), W and M being the sums of w and w m over the samples before i: linear in S. The prefix sums run
    over all rays at once in float64, so that subtracting each ray's start loses no precision.
    """
    middle = 0.5 * (start + end)
    terms = torch.stack([weights, weights * middle], dim=-1).double()
    before = terms.cumsum(dim=0) - terms
    before = before - before[offsets[ray]]
    pairs = 2.0 * (terms[:, 0] * (middle.double() * before[:, 0] - before[:, 1])).sum()
    within = (weights.square() * (end - start)).sum() / 3.0
    return (pairs.to(weights.dtype) + within) / max(len(offsets) - 1, 1)


def neighbor_difference(image: Float[Tensor, "B H W C"]) -> Float[Tensor, ""]:
    """Compute the mean squared difference of vertical plus horizontal neighbours; 0 along a side of one pixel."""
    total = image.new_zeros(())
    for difference in (image[:, 1:] - image[:, :-1], image[:, :, 1:] - image[:, :, :-1]):
        total = total + difference.square().sum() / max(difference.numel(), 1)
    return total


def mean_absolute_difference(a: Float[Tensor, "S C"], b: Float[Tensor, "S C"]) -> Float[Tensor, ""]:
    """Compute mean |a - b|; 0 without rows."""
    return (a - b).abs().sum() / max(a.numel(), 1)


def mean_square(parameters: Iterable[Tensor]) -> Float[Tensor, ""]:
    """Compute the mean square of all elements of at least one tensor.

    Raises:
        ValueError: no tensors.
    """
    tensors = list(parameters)
    if not tensors:
        raise ValueError("mean_square needs at least one tensor")
    return torch.stack([tensor.square().sum() for tensor in tensors]).sum() / sum(tensor.numel() for tensor in tensors)
