"""Ray marching and compositing with nerfacc 0.5.3.

nerfacc compiles its extension on first use as C++17, which torch supports up to 2.11. Later versions require C++20,
whose `std::lerp` conflicts with the `lerp` of nerfacc's `utils_math.cuh`.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bozzetto.kernels.cuda.packages import package
from bozzetto.kernels.first_order import first_order
from bozzetto.kernels.ref import march as march_reference
from bozzetto.kernels.ref.march import Intervals, cube_span
from bozzetto.math import compositing
from bozzetto.math.compositing import Composited


def march(
    origin: Float[Tensor, "R 3"],
    direction: Float[Tensor, "R 3"],
    radius: float,
    occupancy: Bool[Tensor, "G G G"],
    step_size: float,
    max_steps: int,
    jitter: Float[Tensor, "R"] | None = None,
) -> Intervals:
    """Form of `bozzetto.kernels.ref.march.march` with nerfacc. Distances are accumulated, so their last digits differ.

    Like the reference, nerfacc keeps steps whose midpoint is in an occupied cell; its near plane is half a step before
    the first midpoint. Rays that miss the cube or contain NaN (nerfacc would not terminate) get an empty span. Without
    rays, or for types other than float32, the torch reference is used.
    """
    if len(origin) == 0 or origin.dtype != torch.float32:
        return march_reference.march(origin, direction, radius, occupancy, step_size, max_steps, jitter)
    enter, leave = cube_span(origin, direction, radius)
    shift = torch.full_like(enter, 0.5) if jitter is None else jitter
    hit = leave > enter
    intervals, samples, _ = package("nerfacc").traverse_grids(
        origin.detach(),
        direction.detach(),
        occupancy[None],
        origin.new_tensor([[-radius] * 3 + [radius] * 3]),
        near_planes=torch.where(hit, enter + (shift - 0.5) * step_size, 0.0),
        far_planes=torch.where(hit, enter + max_steps * step_size, 0.0),
        step_size=step_size,
    )
    counts = samples.packed_info[:, 1]
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Intervals(
        intervals.vals[intervals.is_left], intervals.vals[intervals.is_right], samples.ray_indices, offsets
    )


def composite(
    density: Float[Tensor, "S"],
    t_start: Float[Tensor, "S"],
    t_end: Float[Tensor, "S"],
    values: Float[Tensor, "S C"],
    offsets: Int[Tensor, "R1"],
) -> Composited:
    """Form of `bozzetto.math.compositing.composite` with nerfacc, in float32.

    The torch reference is used for second derivatives, without samples, and for types other than float32.
    """

    def reference(density: Tensor, values: Tensor) -> Composited:
        return compositing.composite(density, t_start, t_end, values, offsets)

    if len(density) == 0 or density.dtype != torch.float32:
        return reference(density, values)
    nerfacc = package("nerfacc")
    rays, counts = len(offsets) - 1, offsets.diff()
    packed_info = torch.stack([offsets[:-1], counts], dim=-1)
    ray = compositing.ray_of_samples(offsets, len(density))
    middle = 0.5 * (t_start + t_end)

    def packed(density: Tensor, values: Tensor) -> Composited:
        weights, _, _ = nerfacc.render_weight_from_density(t_start, t_end, density, packed_info=packed_info)
        return Composited(
            weights,
            nerfacc.accumulate_along_rays(weights, values, ray_indices=ray, n_rays=rays),
            nerfacc.accumulate_along_rays(weights, None, ray_indices=ray, n_rays=rays),
            nerfacc.accumulate_along_rays(weights, middle[:, None], ray_indices=ray, n_rays=rays),
        )

    return Composited(*first_order(packed, reference, density, values))
