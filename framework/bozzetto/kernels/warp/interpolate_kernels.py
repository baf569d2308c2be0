"""Kernels of attribute interpolation over rasterised pixels, see ref/interpolate.py: a thread for each pixel."""

from typing import no_type_check

import warp as wp

from bozzetto.kernels.warp.runtime import module
from bozzetto.kernels.warp.sums import add
from bozzetto.kernels.warp.triangles import known

HOME = module("interpolate")


@wp.func
@no_type_check
def source_of(attr: wp.array3d(dtype=float), image: int) -> int:
    """Return the image whose attributes are those of an image: the only one if all share them."""
    return wp.where(attr.shape[0] > 1, image, 0)


@wp.kernel(module=HOME)
@no_type_check
def forward(
    attr: wp.array3d(dtype=float), rast: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int),
    rast_db: wp.array2d(dtype=wp.vec4), chosen: wp.array(dtype=int), out: wp.array3d(dtype=float),
    out_da: wp.array3d(dtype=float),
):  # fmt: skip
    """Weight the attributes of the corners of each pixel's triangle; outputs are 0 before."""
    image, pixel = wp.tid()
    at = rast[image, pixel]
    triangle = int(at[3]) - 1
    if not known(tri, triangle, attr.shape[1]):
        return
    values = attr[source_of(attr, image)]
    i0 = tri[triangle, 0]
    i1 = tri[triangle, 1]
    i2 = tri[triangle, 2]
    for c in range(attr.shape[2]):
        last = values[i2, c]
        out[image, pixel, c] = last + at[0] * (values[i0, c] - last) + at[1] * (values[i1, c] - last)
    for d in range(chosen.shape[0]):
        c = chosen[d]
        along_u = values[i0, c] - values[i2, c]
        along_v = values[i1, c] - values[i2, c]
        db = rast_db[image, pixel]
        out_da[image, pixel, 2 * d] = along_u * db[0] + along_v * db[2]
        out_da[image, pixel, 2 * d + 1] = along_u * db[1] + along_v * db[3]


@wp.kernel(module=HOME)
@no_type_check
def backward_rast(
    attr: wp.array3d(dtype=float), rast: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int),
    rast_db: wp.array2d(dtype=wp.vec4), chosen: wp.array(dtype=int), grad_out: wp.array3d(dtype=float),
    grad_da: wp.array3d(dtype=float), grad_rast: wp.array2d(dtype=wp.vec4), grad_db: wp.array2d(dtype=wp.vec4),
):  # fmt: skip
    """Compute the gradients to u, v and their derivatives; outputs are 0 before."""
    image, pixel = wp.tid()
    triangle = int(rast[image, pixel][3]) - 1
    if not known(tri, triangle, attr.shape[1]):
        return
    values = attr[source_of(attr, image)]
    i0 = tri[triangle, 0]
    i1 = tri[triangle, 1]
    i2 = tri[triangle, 2]
    to_uv = wp.vec2()
    for c in range(attr.shape[2]):
        g = grad_out[image, pixel, c]
        to_uv += g * wp.vec2(values[i0, c] - values[i2, c], values[i1, c] - values[i2, c])
    grad_rast[image, pixel] = wp.vec4(to_uv[0], to_uv[1], 0.0, 0.0)
    if grad_da.shape[0] == 0:
        return
    to_db = wp.vec4()
    for d in range(chosen.shape[0]):
        k = chosen[d]
        along_u = values[i0, k] - values[i2, k]
        along_v = values[i1, k] - values[i2, k]
        gx = grad_da[image, pixel, 2 * d]
        gy = grad_da[image, pixel, 2 * d + 1]
        to_db += wp.vec4(gx * along_u, gy * along_u, gx * along_v, gy * along_v)
    grad_db[image, pixel] = to_db


@wp.kernel(module=HOME)
@no_type_check
def backward_attr(
    images: int, vertices: int, channels: int, rast: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int),
    rast_db: wp.array2d(dtype=wp.vec4), chosen: wp.array(dtype=int), grad_out: wp.array3d(dtype=float),
    grad_da: wp.array3d(dtype=float), fast: wp.array(dtype=float), exact: wp.array(dtype=wp.int64),
    per_unit: wp.array(dtype=wp.float64),
):  # fmt: skip
    """Add the gradients of each pixel to the attributes of its triangle's corners."""
    image, pixel = wp.tid()
    at = rast[image, pixel]
    triangle = int(at[3]) - 1
    if not known(tri, triangle, vertices):
        return
    first = wp.where(images > 1, image, 0) * vertices
    to0 = (first + tri[triangle, 0]) * channels
    to1 = (first + tri[triangle, 1]) * channels
    to2 = (first + tri[triangle, 2]) * channels
    for c in range(channels):
        g = grad_out[image, pixel, c]
        add(fast, exact, per_unit, to0 + c, g * at[0])
        add(fast, exact, per_unit, to1 + c, g * at[1])
        add(fast, exact, per_unit, to2 + c, g * (1.0 - at[0] - at[1]))
    if grad_da.shape[0] == 0:
        return
    db = rast_db[image, pixel]
    for d in range(chosen.shape[0]):
        k = chosen[d]
        gx = grad_da[image, pixel, 2 * d]
        gy = grad_da[image, pixel, 2 * d + 1]
        along_u = gx * db[0] + gy * db[1]
        along_v = gx * db[2] + gy * db[3]
        add(fast, exact, per_unit, to0 + k, along_u)
        add(fast, exact, per_unit, to1 + k, along_v)
        add(fast, exact, per_unit, to2 + k, -along_u - along_v)
