"""Torch reference of ray marching through an occupancy grid."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SMALLEST_SLOPE = 1e-12
"""Minimum magnitude of direction components; prevents NaN in divisions."""


class Intervals(NamedTuple):
    """Intervals along R rays, packed near to far: those of ray r are rows `offsets[r]` to `offsets[r + 1]`."""

    t_start: Float[Tensor, "S"]
    t_end: Float[Tensor, "S"]
    ray: Int[Tensor, "S"]
    offsets: Int[Tensor, "R+1"]


class BoundedIntervals(NamedTuple):
    """Intervals in buffers whose size does not depend on their number."""

    intervals: Intervals
    """S is the bound. Rows from `offsets[R]` on belong to no ray: their `t_start` and `t_end` are 0, and their `ray` is
    the last one. Intervals beyond the bound, those of the last rays, are missing."""
    found: Int[Tensor, ""]
    """Number of intervals without the bound."""


def march(
    origin: Float[Tensor, "R 3"],
    direction: Float[Tensor, "R 3"],
    radius: float,
    occupancy: Bool[Tensor, "G G G"],
    step_size: float,
    max_steps: int,
    jitter: Float[Tensor, "R"] | None = None,
) -> Intervals:
    """Torch reference of `bozzetto.kernels.api.march`."""
    near, far = cube_span(origin, direction, radius)
    shift = torch.full_like(near, 0.5) if jitter is None else jitter
    # One step more than fits, if any does: the exact test `middle < far` below decides.
    count = torch.where(far > near, (far - near) / step_size, -1.0).ceil().long().add(1).clamp(max=max_steps)
    ray = torch.repeat_interleave(torch.arange(len(count), device=origin.device), count)
    step = torch.arange(len(ray), device=origin.device) - (count.cumsum(0) - count)[ray]
    t_start = near[ray] + (step + (shift[ray] - 0.5)) * step_size
    t_end = near[ray] + (step + (shift[ray] + 0.5)) * step_size
    middle = 0.5 * (t_start + t_end)
    point = origin[ray] + middle[:, None] * direction[ray]
    resolution = occupancy.shape[0]
    cell = ((point + radius) * (resolution / (2.0 * radius))).floor().long().clamp(0, resolution - 1)
    keep = (middle < far[ray]) & occupancy[cell[:, 0], cell[:, 1], cell[:, 2]]
    kept = torch.bincount(ray[keep], minlength=len(count))
    return Intervals(t_start[keep], t_end[keep], ray[keep], torch.cat([kept.new_zeros(1), kept.cumsum(0)]))


def march_within(
    bound: int,
    origin: Float[Tensor, "R 3"],
    direction: Float[Tensor, "R 3"],
    radius: float,
    occupancy: Bool[Tensor, "G G G"],
    step_size: float,
    max_steps: int,
    jitter: Float[Tensor, "R"] | None = None,
) -> BoundedIntervals:
    """Torch reference of `bozzetto.kernels.api.march_within`; it does wait for the device."""
    t_start, t_end, ray, offsets = march(origin, direction, radius, occupancy, step_size, max_steps, jitter)
    rest = max(bound - len(ray), 0)
    starts, ends = (torch.cat([ends[:bound], ends.new_zeros(rest)]) for ends in (t_start, t_end))
    rays = torch.cat([ray[:bound], ray.new_full((rest,), max(len(origin) - 1, 0))])
    return BoundedIntervals(Intervals(starts, ends, rays, offsets.clamp(max=bound)), offsets[-1].clone())


def cube_span(
    origin: Float[Tensor, "R 3"], direction: Float[Tensor, "R 3"], radius: float
) -> tuple[Float[Tensor, "R"], Float[Tensor, "R"]]:
    """Return the entry (at least 0) and exit distance of each ray in [-radius, radius]^3; a miss if exit <= entry.

    Uses the slab method (Kay and Kajiya 1986, Ray Tracing Complex Scenes).
    """
    slope = torch.where(direction.abs() < SMALLEST_SLOPE, torch.full_like(direction, SMALLEST_SLOPE), direction)
    low, high = (-radius - origin) / slope, (radius - origin) / slope
    near = torch.minimum(low, high).amax(dim=-1).clamp(min=0.0)
    return near, torch.maximum(low, high).amin(dim=-1)
