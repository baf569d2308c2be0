"""Kernels of texture sampling, see ref/texture.py: a thread for each pixel. All levels lie in one array, in a row."""

from typing import no_type_check

import warp as wp

from bozzetto.kernels.operators.texture import BOUNDARIES, FILTERS
from bozzetto.kernels.warp.runtime import module
from bozzetto.kernels.warp.sums import add

HOME = module("texture")

NEAREST = wp.constant(FILTERS.index("nearest"))
MIPMAP_NEAREST = wp.constant(FILTERS.index("linear-mipmap-nearest"))
WRAP = wp.constant(BOUNDARIES.index("wrap"))
CLAMP = wp.constant(BOUNDARIES.index("clamp"))
ZERO = wp.constant(BOUNDARIES.index("zero"))


@wp.struct
@no_type_check
class Axis:
    """Place of a coordinate between two texels; -1: outside."""

    fraction: wp.float32
    slope: wp.float32
    low: wp.int32
    high: wp.int32


@wp.struct
@no_type_check
class Taps:
    """Up to four texels, with the derivatives of their weights with respect to u and v; -1: outside."""

    count: wp.int32
    texel: wp.vec4i
    weight: wp.vec4
    along_u: wp.vec4
    along_v: wp.vec4


@wp.struct
@no_type_check
class Levels:
    """Mip levels of a pixel: `finer` with weight 1 - share, the next with share."""

    finer: wp.int32
    share: wp.float32


@wp.func
@no_type_check
def bounded(cell: int, size: int, boundary: int) -> int:
    """Return the texel of a cell at most one texel outside, -1 for none."""
    if cell >= 0 and cell < size:
        return cell
    if boundary == ZERO:
        return -1
    if boundary == CLAMP:
        return wp.where(cell < 0, 0, size - 1)
    return wp.where(cell < 0, cell + size, cell - size)


@wp.func
@no_type_check
def locate(coordinate: float, size: int, boundary: int, shift: float) -> Axis:
    """Return the place of a coordinate; NaN is at the lower end."""
    extent = float(size)
    low = -0.5
    high = extent - 0.5
    whole = wp.floor(coordinate)
    if boundary == CLAMP:
        low = 0.0
        high = extent - 1.0
        whole = 0.0
    if boundary == ZERO:
        low = -1.0
        high = extent
        whole = 0.0
    position = (coordinate - whole) * extent - 0.5
    axis = Axis()
    axis.slope = wp.where(position >= low and position <= high, extent, 0.0)
    if not position >= low:
        position = low
    if not position <= high:
        position = high
    cell = wp.floor(position + shift)
    axis.fraction = position - cell
    axis.low = bounded(int(cell), size, boundary)
    axis.high = bounded(int(cell) + 1, size, boundary)
    return axis


@wp.func
@no_type_check
def texel_of(column: int, row: int, width: int) -> int:
    """Return the number of a texel, -1 if it is outside."""
    if column < 0 or row < 0:
        return -1
    return row * width + column


@wp.func
@no_type_check
def taps_of(uv: wp.vec2, height: int, width: int, mode: int, boundary: int) -> Taps:
    """Return the texels of a level at a point."""
    shift = float(0.0)
    if mode == NEAREST:
        shift = 0.5
    x = locate(uv[0], width, boundary, shift)
    y = locate(uv[1], height, boundary, shift)
    taps = Taps()
    taps.texel = wp.vec4i(
        texel_of(x.low, y.low, width), texel_of(x.high, y.low, width), texel_of(x.low, y.high, width),
        texel_of(x.high, y.high, width),
    )  # fmt: skip
    if mode == NEAREST:
        taps.count = 1
        taps.weight = wp.vec4(1.0, 0.0, 0.0, 0.0)
        return taps
    taps.count = 4
    fx = 1.0 - x.fraction
    fy = 1.0 - y.fraction
    taps.weight = wp.vec4(fx * fy, x.fraction * fy, fx * y.fraction, x.fraction * y.fraction)
    taps.along_u = wp.vec4(-x.slope * fy, x.slope * fy, -x.slope * y.fraction, x.slope * y.fraction)
    taps.along_v = wp.vec4(-y.slope * fx, -y.slope * x.fraction, y.slope * fx, y.slope * x.fraction)
    return taps


@wp.func
@no_type_check
def choose(level: wp.array2d(dtype=float), image: int, pixel: int, count: int, mode: int) -> Levels:
    """Return the levels of a pixel; NaN is level 0."""
    found = Levels()
    if mode < MIPMAP_NEAREST or count == 1:
        return found
    last = float(count - 2)
    at = level[image, pixel]
    if not at > 0.0:
        at = 0.0
    if not at < last + 1.0:
        at = last + 1.0
    if mode == MIPMAP_NEAREST:
        at = wp.floor(at + 0.5)
    finer = wp.min(wp.floor(at), last)
    found.finer = int(finer)
    found.share = at - finer
    return found


@wp.func
@no_type_check
def start_of(sizes: wp.array2d(dtype=int), number: int, image: int, shared: int) -> int:
    """Return the first texel of a level of the texture of an image; rows of `sizes`: height, width, first texel."""
    return sizes[number, 2] + wp.where(shared == 1, 0, image) * sizes[number, 0] * sizes[number, 1]


@wp.kernel(module=HOME)
@no_type_check
def forward(
    texels: wp.array2d(dtype=float), sizes: wp.array2d(dtype=int), shared: int, mode: int, boundary: int,
    uv: wp.array2d(dtype=wp.vec2), level: wp.array2d(dtype=float), out: wp.array3d(dtype=float),
):  # fmt: skip
    """Sample a pixel."""
    image, pixel = wp.tid()
    at = choose(level, image, pixel, sizes.shape[0], mode)
    for c in range(out.shape[2]):
        out[image, pixel, c] = 0.0
    for which in range(2):
        scale = wp.where(which == 0, 1.0 - at.share, at.share)
        if which == 0 or scale > 0.0:
            number = at.finer + which
            taps = taps_of(uv[image, pixel], sizes[number, 0], sizes[number, 1], mode, boundary)
            first = start_of(sizes, number, image, shared)
            for i in range(taps.count):
                if taps.texel[i] >= 0:
                    for c in range(out.shape[2]):
                        value = texels[first + taps.texel[i], c]
                        out[image, pixel, c] = out[image, pixel, c] + scale * taps.weight[i] * value


@wp.kernel(module=HOME)
@no_type_check
def backward_points(
    texels: wp.array2d(dtype=float), sizes: wp.array2d(dtype=int), shared: int, mode: int, boundary: int,
    uv: wp.array2d(dtype=wp.vec2), level: wp.array2d(dtype=float), grad: wp.array3d(dtype=float),
    grad_uv: wp.array2d(dtype=wp.vec2), grad_level: wp.array2d(dtype=float),
):  # fmt: skip
    """Compute the gradients to uv, and to the level if `grad_level` is not empty."""
    image, pixel = wp.tid()
    at = choose(level, image, pixel, sizes.shape[0], mode)
    to_uv = wp.vec2()
    worths = wp.vec2()
    wanted = grad_level.shape[0] > 0
    for which in range(2):
        scale = wp.where(which == 0, 1.0 - at.share, at.share)
        number = at.finer + which
        if number < sizes.shape[0] and (which == 0 or wanted or scale > 0.0):
            taps = taps_of(uv[image, pixel], sizes[number, 0], sizes[number, 1], mode, boundary)
            first = start_of(sizes, number, image, shared)
            worth = float(0.0)
            for i in range(taps.count):
                if taps.texel[i] >= 0:
                    product = float(0.0)
                    for c in range(texels.shape[1]):
                        product += grad[image, pixel, c] * texels[first + taps.texel[i], c]
                    worth += product * taps.weight[i]
                    to_uv += scale * product * wp.vec2(taps.along_u[i], taps.along_v[i])
            worths[which] = worth
    grad_uv[image, pixel] = to_uv
    if wanted:
        grad_level[image, pixel] = wp.where(sizes.shape[0] > 1, worths[1] - worths[0], 0.0)


@wp.kernel(module=HOME)
@no_type_check
def backward_levels(
    sizes: wp.array2d(dtype=int), shared: int, mode: int, boundary: int, uv: wp.array2d(dtype=wp.vec2),
    level: wp.array2d(dtype=float), grad: wp.array3d(dtype=float), fast: wp.array(dtype=float),
    exact: wp.array(dtype=wp.int64), per_unit: wp.array(dtype=wp.float64),
):  # fmt: skip
    """Add the gradient of a pixel to the texels it was sampled from."""
    image, pixel = wp.tid()
    channels = grad.shape[2]
    at = choose(level, image, pixel, sizes.shape[0], mode)
    for which in range(2):
        scale = wp.where(which == 0, 1.0 - at.share, at.share)
        if which == 0 or scale > 0.0:
            number = at.finer + which
            taps = taps_of(uv[image, pixel], sizes[number, 0], sizes[number, 1], mode, boundary)
            first = start_of(sizes, number, image, shared)
            for i in range(taps.count):
                if taps.texel[i] >= 0:
                    to = (first + taps.texel[i]) * channels
                    for c in range(channels):
                        add(fast, exact, per_unit, to + c, scale * taps.weight[i] * grad[image, pixel, c])
