"""Volume rendering equation along packed rays."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Composited", "composite", "ray_of_samples", "render_weights"]


class Composited(NamedTuple):
    """Composited result of S samples on R rays."""

    weights: Float[Tensor, "S"]
    """Transmittance times opacity of each sample, in [0, 1]."""
    accumulated: Float[Tensor, "R C"]
    """Sum of weight times value; without background."""
    opacity: Float[Tensor, "R 1"]
    """Sum of weights, in [0, 1]."""
    depth: Float[Tensor, "R 1"]
    """Sum of weight times midpoint distance: 0 where nothing is hit, not divided by opacity."""


def ray_of_samples(offsets: Int[Tensor, "R1"], sample_count: int) -> Int[Tensor, "S"]:
    """Return the ray index of each sample, from the R + 1 row numbers at which rays start."""
    rays = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(rays, offsets.diff(), output_size=sample_count)


def render_weights(
    density: Float[Tensor, "S"],
    t_start: Float[Tensor, "S"],
    t_end: Float[Tensor, "S"],
    offsets: Int[Tensor, "R1"],
) -> Float[Tensor, "S"]:
    """Compute w_i = T_i (1 - exp(-density_i delta_i)), T_i = exp(-sum of density_j delta_j over nearer samples j).

    Max 1995 (Optical Models for Direct Volume Rendering), sec. 4; NeRF (Mildenhall et al. 2020), eq. 3. The sum runs
    over all rays at once, in float64 so that subtracting the sum of earlier rays loses no precision.
    """
    optical_depth = density * (t_end - t_start)
    total = optical_depth.double().cumsum(0)
    before = total - optical_depth
    first = offsets[:-1].repeat_interleave(offsets.diff(), output_size=len(density))
    transmittance = torch.exp(before.index_select(0, first) - before).to(density.dtype)
    return transmittance * -torch.expm1(-optical_depth)


def composite(
    density: Float[Tensor, "S"],
    t_start: Float[Tensor, "S"],
    t_end: Float[Tensor, "S"],
    values: Float[Tensor, "S C"],
    offsets: Int[Tensor, "R1"],
) -> Composited:
    """Composite samples front to back. Differentiable in density, values and distances. S may be 0."""
    weights = render_weights(density, t_start, t_end, offsets)
    ray = ray_of_samples(offsets, len(density))
    middle = 0.5 * (t_start + t_end)
    summed = weights[:, None] * torch.cat([values, torch.ones_like(middle)[:, None], middle[:, None]], dim=-1)
    totals = summed.new_zeros(len(offsets) - 1, summed.shape[-1]).index_add(0, ray, summed)
    channels = values.shape[-1]
    accumulated, opacity, depth = totals.split([channels, 1, 1], dim=-1)
    return Composited(weights, accumulated, opacity, depth)
