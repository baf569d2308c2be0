"""Kernels of ray marching, with the arithmetic of ref/march.py, so that both find the same intervals."""

from typing import no_type_check

import warp as wp

from bozzetto.kernels.ref.march import SMALLEST_SLOPE
from bozzetto.kernels.warp.runtime import module

HOME = module("march")

FLATTEST = wp.constant(wp.float32(SMALLEST_SLOPE))


@wp.struct
@no_type_check
class Walk:
    """Steps of one ray."""

    near: wp.float32
    far: wp.float32
    low: wp.float32
    """Start of an interval in steps, before the number of the step is added."""
    high: wp.float32
    step_size: wp.float32


@wp.func
@no_type_check
def walk_of(
    origin: wp.array2d(dtype=float), direction: wp.array2d(dtype=float), ray: int, radius: float, shift: float,
    step_size: float,
) -> Walk:  # fmt: skip
    """Return the steps of a ray through the cube (slab method, see `cube_span`); none if a number is NaN."""
    walk = Walk()
    walk.near = float(0.0)
    walk.far = float(wp.inf)
    for axis in range(3):
        slope = direction[ray, axis]
        if wp.abs(slope) < FLATTEST:
            slope = FLATTEST
        low = (-radius - origin[ray, axis]) / slope
        high = (radius - origin[ray, axis]) / slope
        if low != low or high != high:
            walk.far = -wp.inf
        else:
            walk.near = wp.max(walk.near, wp.min(low, high))
            walk.far = wp.min(walk.far, wp.max(low, high))
    walk.low = shift - 0.5
    walk.high = shift + 0.5
    walk.step_size = step_size
    return walk


@wp.func
@no_type_check
def start_of(walk: Walk, step: int) -> float:
    """Return the start of an interval."""
    return walk.near + (float(step) + walk.low) * walk.step_size


@wp.func
@no_type_check
def end_of(walk: Walk, step: int) -> float:
    """Return the end of an interval."""
    return walk.near + (float(step) + walk.high) * walk.step_size


@wp.func
@no_type_check
def cell_of(x: float, radius: float, cells_per_unit: float, side: int) -> int:
    """Return the cell of a coordinate, the nearest one outside."""
    at = wp.max((x + radius) * cells_per_unit, 0.0)
    return int(wp.min(at, float(side - 1)))


@wp.func
@no_type_check
def occupied(
    occupancy: wp.array3d(dtype=wp.uint8), origin: wp.array2d(dtype=float), direction: wp.array2d(dtype=float),
    ray: int, middle: float, radius: float, cells_per_unit: float,
) -> bool:  # fmt: skip
    """Return whether a point of a ray is in an occupied cell."""
    side = occupancy.shape[0]
    x = cell_of(origin[ray, 0] + middle * direction[ray, 0], radius, cells_per_unit, side)
    y = cell_of(origin[ray, 1] + middle * direction[ray, 1], radius, cells_per_unit, side)
    z = cell_of(origin[ray, 2] + middle * direction[ray, 2], radius, cells_per_unit, side)
    return occupancy[x, y, z] != wp.uint8(0)


@wp.kernel(module=HOME)
@no_type_check
def count(
    origin: wp.array2d(dtype=float), direction: wp.array2d(dtype=float), jitter: wp.array(dtype=float), radius: float,
    occupancy: wp.array3d(dtype=wp.uint8), cells_per_unit: float, step_size: float, max_steps: int,
    found: wp.array(dtype=wp.int64),
):  # fmt: skip
    """Count the intervals of each ray."""
    ray = wp.tid()
    shift = float(0.5)
    if jitter.shape[0] > 0:
        shift = jitter[ray]
    walk = walk_of(origin, direction, ray, radius, shift, step_size)
    total = int(0)
    step = int(0)
    while step < max_steps:
        middle = 0.5 * (start_of(walk, step) + end_of(walk, step))
        if not middle < walk.far:
            break
        if occupied(occupancy, origin, direction, ray, middle, radius, cells_per_unit):
            total += 1
        step += 1
    found[ray] = wp.int64(total)


@wp.kernel(module=HOME)
@no_type_check
def write(
    origin: wp.array2d(dtype=float), direction: wp.array2d(dtype=float), jitter: wp.array(dtype=float), radius: float,
    occupancy: wp.array3d(dtype=wp.uint8), cells_per_unit: float, step_size: float, max_steps: int,
    offsets: wp.array(dtype=wp.int64), t_start: wp.array(dtype=float), t_end: wp.array(dtype=float),
    rays: wp.array(dtype=wp.int64),
):  # fmt: skip
    """Write the intervals of each ray from its offset up to the next one."""
    ray = wp.tid()
    shift = float(0.5)
    if jitter.shape[0] > 0:
        shift = jitter[ray]
    walk = walk_of(origin, direction, ray, radius, shift, step_size)
    row = int(offsets[ray])
    end = int(offsets[ray + 1])
    step = int(0)
    while step < max_steps and row < end:
        middle = 0.5 * (start_of(walk, step) + end_of(walk, step))
        if not middle < walk.far:
            break
        if occupied(occupancy, origin, direction, ray, middle, radius, cells_per_unit):
            t_start[row] = start_of(walk, step)
            t_end[row] = end_of(walk, step)
            rays[row] = wp.int64(ray)
            row += 1
        step += 1
