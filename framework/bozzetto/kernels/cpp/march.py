"""Compiled ray marching: the operator of `bozzetto.kernels.operators.march` in C++."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.operators.march import Parts, march_operator
from bozzetto.kernels.operators.operator import CPP
from bozzetto.kernels.ref.march import Intervals

BITS_PER_WORD = 64


def march(
    origin: Float[Tensor, "R 3"],
    direction: Float[Tensor, "R 3"],
    radius: float,
    occupancy: Bool[Tensor, "G G G"],
    step_size: float,
    max_steps: int,
    jitter: Float[Tensor, "R"] | None = None,
) -> Intervals:
    """Compiled form of `bozzetto.kernels.ref.march.march`; bitwise equal."""
    return Intervals(*_march(origin, direction, float(radius), occupancy, float(step_size), max_steps, jitter))


def _run(
    origin: Tensor,
    direction: Tensor,
    radius: float,
    occupancy: Tensor,
    step_size: float,
    max_steps: int,
    jitter: Tensor | None,
) -> Parts:
    rays, resolution = len(origin), len(occupancy)
    shift = origin.new_full((rays,), 0.5) if jitter is None else jitter.contiguous()
    near = origin.new_empty(rays)
    bits = torch.empty(rays, -(-max_steps // BITS_PER_WORD), dtype=torch.int64, device=origin.device)
    offsets = torch.zeros(rays + 1, dtype=torch.int64, device=origin.device)
    walk = (origin.contiguous(), direction.contiguous(), shift, radius)
    grid = (occupancy.contiguous(), resolution, resolution / (2.0 * radius))
    call("march_mark", rays, *walk, *grid, step_size, max_steps, bits, offsets[1:], near)
    torch.cumsum(offsets, 0, out=offsets)
    samples = int(offsets[-1])
    t_start, t_end, ray = origin.new_empty(samples), origin.new_empty(samples), offsets.new_empty(samples)
    call("march_write", rays, near, shift, step_size, max_steps, bits, offsets, t_start, t_end, ray)
    return t_start, t_end, ray, offsets


_march = march_operator(CPP, _run)
