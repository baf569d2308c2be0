"""Kernels of the hash encoding: one thread per level and point; the arithmetic of ref/hash_encode.py.

Neighbouring threads take neighbouring points of one level, so that they read per-point arrays, which are feature-major,
together, and share the level's part of the table in the cache.
"""

import functools
from typing import NamedTuple, no_type_check

import warp as wp

from bozzetto.kernels.grid_spec import HASH_PRIMES
from bozzetto.kernels.warp.runtime import module
from bozzetto.kernels.warp.sums import add

PRIME_Y = wp.constant(wp.uint32(HASH_PRIMES[1]))
PRIME_Z = wp.constant(wp.uint32(HASH_PRIMES[2]))


@wp.struct
@no_type_check
class Level:
    """Level of a grid, `bozzetto.kernels.grid_spec.GridLevel`."""

    scale: wp.float32
    resolution: wp.uint32
    offset: wp.int32
    size: wp.uint32
    hashed: wp.int32


@wp.struct
@no_type_check
class Cell:
    """Cell of a point: its low vertex, the weights of the far vertices, and their first two derivatives."""

    x: wp.uint32
    y: wp.uint32
    z: wp.uint32
    blend: wp.vec3
    slope: wp.vec3
    bend: wp.vec3


@wp.func
@no_type_check
def level_of(scales: wp.array(dtype=float), layout: wp.array2d(dtype=int), number: int) -> Level:
    """Return a level from the scales and the rows (resolution, offset, size, hashed) of all levels."""
    level = Level()
    level.scale = scales[number]
    level.resolution = wp.uint32(layout[number, 0])
    level.offset = layout[number, 1]
    level.size = wp.uint32(layout[number, 2])
    level.hashed = layout[number, 3]
    return level


@wp.func
@no_type_check
def row_of(cell: Cell, corner: int, level: Level) -> int:
    """Return the table row of a corner: the low vertex plus (corner & 1, corner >> 1 & 1, corner >> 2)."""
    x = cell.x + wp.uint32(corner & 1)
    y = cell.y + wp.uint32((corner >> 1) & 1)
    z = cell.z + wp.uint32(corner >> 2)
    if level.hashed == 1:
        mixed = x ^ (y * PRIME_Y) ^ (z * PRIME_Z)
        return int(mixed & (level.size - wp.uint32(1))) + level.offset
    return int((x + level.resolution * (y + level.resolution * z)) % level.size) + level.offset


@wp.func
@no_type_check
def locate(points: wp.array2d(dtype=float), n: int, level: Level, smooth: int) -> Cell:
    """Return the cell of a point; a coordinate that is not a number is in cell 0, with weights that are not either."""
    cell = Cell()
    low = wp.vec3()
    for axis in range(3):
        x = points[axis, n]
        inside = wp.where(x > 0.0, x, 0.0)
        inside = wp.where(inside < 1.0, inside, 1.0)
        position = inside * level.scale + 0.5
        low[axis] = wp.floor(position)
        t = position - low[axis]
        if x != x:
            t = x
        slope = wp.where(x >= 0.0 and x <= 1.0, level.scale, 0.0)
        bend = float(0.0)
        if smooth == 1:
            bend = 6.0 * (1.0 - 2.0 * t) * slope * slope
            slope = 6.0 * t * (1.0 - t) * slope
            t = t * t * (3.0 - 2.0 * t)
        cell.blend[axis] = t
        cell.slope[axis] = slope
        cell.bend[axis] = bend
    cell.x = wp.uint32(low[0])
    cell.y = wp.uint32(low[1])
    cell.z = wp.uint32(low[2])
    return cell


@wp.func
@no_type_check
def weight_of(cell: Cell, corner: int) -> float:
    """Return the interpolation weight of a corner."""
    x = wp.where((corner & 1) == 1, cell.blend[0], 1.0 - cell.blend[0])
    y = wp.where(((corner >> 1) & 1) == 1, cell.blend[1], 1.0 - cell.blend[1])
    z = wp.where((corner >> 2) == 1, cell.blend[2], 1.0 - cell.blend[2])
    return x * y * z


@wp.func
@no_type_check
def slope_of(cell: Cell, corner: int) -> wp.vec3:
    """Return the gradient of the weight of a corner with respect to the point."""
    x = wp.where((corner & 1) == 1, cell.blend[0], 1.0 - cell.blend[0])
    y = wp.where(((corner >> 1) & 1) == 1, cell.blend[1], 1.0 - cell.blend[1])
    z = wp.where((corner >> 2) == 1, cell.blend[2], 1.0 - cell.blend[2])
    dx = wp.where((corner & 1) == 1, cell.slope[0], -cell.slope[0])
    dy = wp.where(((corner >> 1) & 1) == 1, cell.slope[1], -cell.slope[1])
    dz = wp.where((corner >> 2) == 1, cell.slope[2], -cell.slope[2])
    return wp.vec3(dx * y * z, x * dy * z, x * y * dz)


@wp.func
@no_type_check
def bend_of(cell: Cell, corner: int, v: wp.vec3) -> wp.vec3:
    """Return the Hessian of the weight of a corner, times a tangent."""
    sx = wp.where((corner & 1) == 1, 1.0, -1.0)
    sy = wp.where(((corner >> 1) & 1) == 1, 1.0, -1.0)
    sz = wp.where((corner >> 2) == 1, 1.0, -1.0)
    x = wp.where((corner & 1) == 1, cell.blend[0], 1.0 - cell.blend[0])
    y = wp.where(((corner >> 1) & 1) == 1, cell.blend[1], 1.0 - cell.blend[1])
    z = wp.where((corner >> 2) == 1, cell.blend[2], 1.0 - cell.blend[2])
    dx = sx * cell.slope[0]
    dy = sy * cell.slope[1]
    dz = sz * cell.slope[2]
    return wp.vec3(
        sx * cell.bend[0] * y * z * v[0] + dx * dy * z * v[1] + dx * y * dz * v[2],
        dx * dy * z * v[0] + x * sy * cell.bend[1] * z * v[1] + x * dy * dz * v[2],
        dx * y * dz * v[0] + x * dy * dz * v[1] + x * y * sz * cell.bend[2] * v[2],
    )


class HashKernels(NamedTuple):
    """Kernels for one number of features per entry."""

    gather: wp.Kernel
    scatter: wp.Kernel
    pull: wp.Kernel


def _gather(home: wp.Module, features: int) -> wp.Kernel:
    count = wp.constant(features)
    entry = wp.types.vector(length=features, dtype=wp.float32)

    @wp.kernel(module=home)
    @no_type_check
    def gather(
        scales: wp.array(dtype=float),
        layout: wp.array2d(dtype=int),
        smooth: int,
        points: wp.array2d(dtype=float),
        tangents: wp.array2d(dtype=float),
        table: wp.array(dtype=entry),
        out: wp.array2d(dtype=float),
    ):
        k, n = wp.tid()
        level = level_of(scales, layout, k)
        cell = locate(points, n, level, smooth)
        total = entry()
        if tangents.shape[0] > 0:
            v = wp.vec3(tangents[0, n], tangents[1, n], tangents[2, n])
            for corner in range(8):
                total += wp.dot(slope_of(cell, corner), v) * table[row_of(cell, corner, level)]
        else:
            for corner in range(8):
                total += weight_of(cell, corner) * table[row_of(cell, corner, level)]
        for f in range(count):
            out[k * count + f, n] = total[f]

    made: wp.Kernel = gather
    return made


def _scatter(home: wp.Module, features: int) -> wp.Kernel:
    count = wp.constant(features)

    @wp.kernel(module=home)
    @no_type_check
    def scatter(
        scales: wp.array(dtype=float),
        layout: wp.array2d(dtype=int),
        smooth: int,
        points: wp.array2d(dtype=float),
        tangents: wp.array2d(dtype=float),
        grad: wp.array2d(dtype=float),
        also: wp.array2d(dtype=float),
        fast: wp.array(dtype=float),
        exact: wp.array(dtype=wp.int64),
        per_unit: wp.array(dtype=wp.float64),
    ):
        k, n = wp.tid()
        level = level_of(scales, layout, k)
        cell = locate(points, n, level, smooth)
        v = wp.vec3()
        if tangents.shape[0] > 0:
            v = wp.vec3(tangents[0, n], tangents[1, n], tangents[2, n])
        for corner in range(8):
            w = weight_of(cell, corner)
            along = w
            if tangents.shape[0] > 0:
                along = wp.dot(slope_of(cell, corner), v)
            row = row_of(cell, corner, level)
            for f in range(count):
                x = along * grad[k * count + f, n]
                if also.shape[0] > 0:
                    x += w * also[k * count + f, n]
                add(fast, exact, per_unit, row * count + f, x)

    made: wp.Kernel = scatter
    return made


def _pull(home: wp.Module, features: int) -> wp.Kernel:
    count = wp.constant(features)
    entry = wp.types.vector(length=features, dtype=wp.float32)

    @wp.kernel(module=home)
    @no_type_check
    def pull(
        scales: wp.array(dtype=float),
        layout: wp.array2d(dtype=int),
        smooth: int,
        points: wp.array2d(dtype=float),
        tangents: wp.array2d(dtype=float),
        table: wp.array(dtype=entry),
        grad: wp.array2d(dtype=float),
        out: wp.array2d(dtype=float),
    ):
        n = wp.tid()
        v = wp.vec3()
        if tangents.shape[0] > 0:
            v = wp.vec3(tangents[0, n], tangents[1, n], tangents[2, n])
        total = wp.vec3()
        for k in range(scales.shape[0]):
            level = level_of(scales, layout, k)
            cell = locate(points, n, level, smooth)
            g = entry()
            for f in range(count):
                g[f] = grad[k * count + f, n]
            for corner in range(8):
                worth = wp.dot(g, table[row_of(cell, corner, level)])
                if tangents.shape[0] > 0:
                    total += worth * bend_of(cell, corner, v)
                else:
                    total += worth * slope_of(cell, corner)
        for axis in range(3):
            out[axis, n] = total[axis]

    made: wp.Kernel = pull
    return made


@functools.cache
def hash_kernels(features: int) -> HashKernels:
    """Return the kernels for a number of features per entry."""
    home = module(f"hash_encode_{features}")
    return HashKernels(_gather(home, features), _scatter(home, features), _pull(home, features))
