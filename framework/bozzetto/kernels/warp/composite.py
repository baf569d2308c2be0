"""Compositing in Warp: the operators of `bozzetto.kernels.operators.composite`."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.operators.composite import Parts, composite_operator
from bozzetto.kernels.operators.operator import WARP
from bozzetto.kernels.warp import composite_kernels as kernels
from bozzetto.kernels.warp.runtime import launch
from bozzetto.math.compositing import Composited


def composite(
    density: Float[Tensor, "S"],
    t_start: Float[Tensor, "S"],
    t_end: Float[Tensor, "S"],
    values: Float[Tensor, "S C"],
    offsets: Int[Tensor, "R1"],
) -> Composited:
    """Warp form of `bozzetto.math.compositing.composite`, with gradients to density and values.

    Samples behind the last offset, which `bozzetto.kernels.api.march_within` leaves, have weight 0.
    """
    *results, _ = _composite(density, t_start, t_end, values, offsets)
    return Composited(*results)


def _run(density: Tensor, t_start: Tensor, t_end: Tensor, values: Tensor, offsets: Tensor) -> Parts:
    (samples, channels), rays = values.shape, len(offsets) - 1
    weights, after = (density.new_zeros(samples) for _ in range(2))  # rows without a ray stay so
    opacity, depth = density.new_empty(rays, 1), density.new_empty(rays, 1)
    accumulated = density.new_empty(rays, channels)
    rows = offsets.to(torch.int64).contiguous()
    known = (density.contiguous(), t_start.contiguous(), t_end.contiguous())
    launch(kernels.along_rays, rays, rows, *known, weights, after, opacity.view(-1), depth.view(-1))
    launch(kernels.accumulate, (rays, channels), rows, weights, values.contiguous(), accumulated)
    return weights, accumulated, opacity, depth, after


def _run_backward(
    t_start: Tensor,
    t_end: Tensor,
    values: Tensor,
    offsets: Tensor,
    weights: Tensor,
    after: Tensor,
    grad_weights: Tensor | None,
    grad_accumulated: Tensor | None,
    grad_opacity: Tensor | None,
    grad_depth: Tensor | None,
) -> tuple[Tensor, Tensor]:
    samples, rays = len(values), len(offsets) - 1
    to_density, worth, to_values = weights.new_zeros(samples), weights.new_zeros(samples), torch.zeros_like(values)
    rows, ends = offsets.to(torch.int64).contiguous(), (t_start.contiguous(), t_end.contiguous())
    incoming = [None if grad is None else grad.contiguous() for grad in (grad_weights, grad_accumulated)]
    incoming += [None if grad is None else grad.reshape(-1) for grad in (grad_opacity, grad_depth)]
    weights = weights.contiguous()
    launch(kernels.worth_of_samples, samples, rows, *ends, values.contiguous(), weights, *incoming, worth, to_values)
    launch(kernels.back_along_rays, rays, rows, *ends, weights, after.contiguous(), worth, to_density)
    return to_density, to_values


_composite = composite_operator(WARP, _run, _run_backward)
