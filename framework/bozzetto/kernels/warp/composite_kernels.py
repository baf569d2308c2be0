"""Kernels of compositing, with the equations of math/compositing.py; transmittance is float64 along a ray.

Rows that belong to no ray, behind the last offset, are read and written by none of them.
"""

from typing import no_type_check

import warp as wp

from bozzetto.kernels.warp.runtime import module

HOME = module("composite")


@wp.func
@no_type_check
def opacity_of(x: float) -> float:
    """Return 1 - exp(-x) to the last digits, for x from 0 on; NaN stays NaN."""
    if x < 0.25:  # the series of sinh: 1 - exp(-x) = 2 exp(-x / 2) sinh(x / 2)
        half = 0.5 * x
        square = half * half
        odd = half * (1.0 + square * (1.0 / 6.0 + square * (1.0 / 120.0 + square * (1.0 / 5040.0))))
        return 2.0 * wp.exp(-half) * odd
    return 1.0 - wp.exp(-x)


@wp.func
@no_type_check
def row(offsets: wp.array(dtype=wp.int64), ray: int, samples: int) -> int:
    """Return the row at which a ray starts, inside the arrays whatever the offsets are."""
    return int(wp.clamp(offsets[ray], wp.int64(0), wp.int64(samples)))


@wp.kernel(module=HOME)
@no_type_check
def along_rays(
    offsets: wp.array(dtype=wp.int64),
    density: wp.array(dtype=float),
    t_start: wp.array(dtype=float),
    t_end: wp.array(dtype=float),
    weights: wp.array(dtype=float),
    after: wp.array(dtype=float),
    opacity: wp.array(dtype=float),
    depth: wp.array(dtype=float),
):
    """Compute weights and the transmittance behind each sample; sum weights and weighted distances."""
    ray = wp.tid()
    transmittance = wp.float64(1.0)
    total = float(0.0)
    distance = float(0.0)
    for s in range(row(offsets, ray, density.shape[0]), row(offsets, ray + 1, density.shape[0])):
        absorbed = density[s] * (t_end[s] - t_start[s])
        weight = float(transmittance * wp.float64(opacity_of(absorbed)))
        transmittance = transmittance * wp.float64(wp.exp(-absorbed))
        weights[s] = weight
        after[s] = float(transmittance)
        total += weight
        distance += weight * (0.5 * (t_start[s] + t_end[s]))
    opacity[ray] = total
    depth[ray] = distance


@wp.kernel(module=HOME)
@no_type_check
def accumulate(
    offsets: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=float),
    values: wp.array2d(dtype=float),
    accumulated: wp.array2d(dtype=float),
):
    """Sum weighted values."""
    ray, channel = wp.tid()
    total = float(0.0)
    for s in range(row(offsets, ray, weights.shape[0]), row(offsets, ray + 1, weights.shape[0])):
        total += weights[s] * values[s, channel]
    accumulated[ray, channel] = total


@wp.kernel(module=HOME)
@no_type_check
def worth_of_samples(
    offsets: wp.array(dtype=wp.int64),
    t_start: wp.array(dtype=float),
    t_end: wp.array(dtype=float),
    values: wp.array2d(dtype=float),
    weights: wp.array(dtype=float),
    grad_weights: wp.array(dtype=float),
    grad_accumulated: wp.array2d(dtype=float),
    grad_opacity: wp.array(dtype=float),
    grad_depth: wp.array(dtype=float),
    worth: wp.array(dtype=float),
    grad_values: wp.array2d(dtype=float),
):
    """Compute `worth`, the gradient to the weight of a sample, and the gradient to its values."""
    s = wp.tid()
    ray = int(0)  # the last one that starts at or before the sample, found by bisection
    end = offsets.shape[0] - 1
    if end == 0 or wp.int64(s) >= offsets[end]:
        return
    while end - ray > 1:
        middle = (ray + end) // 2
        if offsets[middle] <= wp.int64(s):
            ray = middle
        else:
            end = middle
    own = float(0.0)
    if grad_opacity.shape[0] > 0:
        own += grad_opacity[ray]
    if grad_depth.shape[0] > 0:
        own += grad_depth[ray] * (0.5 * (t_start[s] + t_end[s]))
    if grad_weights.shape[0] > 0:
        own += grad_weights[s]
    if grad_accumulated.shape[0] > 0:
        for channel in range(values.shape[1]):
            own += grad_accumulated[ray, channel] * values[s, channel]
            grad_values[s, channel] = weights[s] * grad_accumulated[ray, channel]
    worth[s] = own


@wp.kernel(module=HOME)
@no_type_check
def back_along_rays(
    offsets: wp.array(dtype=wp.int64),
    t_start: wp.array(dtype=float),
    t_end: wp.array(dtype=float),
    weights: wp.array(dtype=float),
    after: wp.array(dtype=float),
    worth: wp.array(dtype=float),
    grad_density: wp.array(dtype=float),
):
    """D w_j / d (optical depth i) is the transmittance behind i for j = i, -w_j for j behind i, 0 otherwise."""
    ray = wp.tid()
    behind = wp.float64(0.0)
    first = row(offsets, ray, weights.shape[0])
    count = row(offsets, ray + 1, weights.shape[0]) - first
    for k in range(count):
        s = first + count - 1 - k
        own = wp.float64(worth[s])
        grad_density[s] = float(own * wp.float64(after[s]) - behind) * (t_end[s] - t_start[s])
        behind += own * wp.float64(weights[s])
