"""Ray marching in Warp: the operator of `bozzetto.kernels.operators.march`, and its form with bounded buffers."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bozzetto.kernels.operators.march import Parts, march_operator, march_within_operator
from bozzetto.kernels.operators.operator import WARP
from bozzetto.kernels.ref.march import BoundedIntervals, Intervals
from bozzetto.kernels.warp import march_kernels as kernels
from bozzetto.kernels.warp.runtime import launch


def march(
    origin: Float[Tensor, "R 3"],
    direction: Float[Tensor, "R 3"],
    radius: float,
    occupancy: Bool[Tensor, "G G G"],
    step_size: float,
    max_steps: int,
    jitter: Float[Tensor, "R"] | None = None,
) -> Intervals:
    """Warp form of `bozzetto.kernels.ref.march.march`; waits once for the device, for the number of intervals."""
    return Intervals(*_march(origin, direction, float(radius), occupancy, float(step_size), max_steps, jitter))


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
    """Warp form of `bozzetto.kernels.ref.march.march_within`, which never waits for the device."""
    args = (origin, direction, float(radius), occupancy, float(step_size), max_steps, jitter)
    *parts, found = _march_within(bound, *args)
    return BoundedIntervals(Intervals(*parts), found)


def _counted(
    origin: Tensor, direction: Tensor, radius: float, occupancy: Tensor, step_size: float, max_steps: int,
    jitter: Tensor | None,
) -> tuple[tuple[Tensor | float | int | None, ...], Tensor]:  # fmt: skip
    """Return the arguments of the kernels, and the offsets of the rays."""
    cells_per_unit = len(occupancy) / (2.0 * radius)
    known = (
        origin.contiguous(), direction.contiguous(), None if jitter is None else jitter.contiguous(), radius,
        occupancy.contiguous().view(torch.uint8), cells_per_unit, step_size, max_steps,
    )  # fmt: skip
    offsets = torch.zeros(len(origin) + 1, dtype=torch.int64, device=origin.device)
    launch(kernels.count, len(origin), *known, offsets[1:])
    return known, offsets.cumsum(0)


def _run(
    origin: Tensor, direction: Tensor, radius: float, occupancy: Tensor, step_size: float, max_steps: int,
    jitter: Tensor | None,
) -> Parts:  # fmt: skip
    known, offsets = _counted(origin, direction, radius, occupancy, step_size, max_steps, jitter)
    samples = int(offsets[-1])
    t_start, t_end, ray = origin.new_empty(samples), origin.new_empty(samples), offsets.new_empty(samples)
    launch(kernels.write, len(origin), *known, offsets, t_start, t_end, ray)
    return t_start, t_end, ray, offsets


def _run_within(
    bound: int, origin: Tensor, direction: Tensor, radius: float, occupancy: Tensor, step_size: float, max_steps: int,
    jitter: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    known, offsets = _counted(origin, direction, radius, occupancy, step_size, max_steps, jitter)
    kept = offsets.clamp(max=bound)
    t_start, t_end = origin.new_zeros(bound), origin.new_zeros(bound)
    ray = offsets.new_full((bound,), max(len(origin) - 1, 0))
    launch(kernels.write, len(origin), *known, kept, t_start, t_end, ray)
    return t_start, t_end, ray, kept, offsets[-1].clone()


_march = march_operator(WARP, _run)
_march_within = march_within_operator(WARP, _run_within)
