"""Kernels of rasterisation with the arithmetic of ref/rasterize.py, so that both find the same visible triangles.

Vertices are snapped once. Then several threads for each triangle, which share its rows, take the minimum of the depth
of each pixel; and again, of the number of the triangle, where it is the nearest. Minima do not depend on the order.
"""

from typing import no_type_check

import warp as wp

from bozzetto.kernels.ref.rasterize import TINY
from bozzetto.kernels.warp.pieces import (
    HALF,
    NOT_FINITE,
    STEPS,
    Clipped,
    Piece,
    band_of,
    clip,
    distance,
    first_centre,
    inside,
    last_centre,
    piece_of,
    snapped,
    vertex_of,
    wide,
)
from bozzetto.kernels.warp.runtime import module
from bozzetto.kernels.warp.triangles import (
    CornerGrads,
    corners_of,
    edge_values,
    known,
    pixel_centre,
    slopes_x,
    slopes_y,
    with_slopes,
    with_value,
)
from bozzetto.kernels.warp.vertex_sums import add_grads

HOME = module("rasterize")

ZERO = wp.constant(wp.float64(0.0))
ONE = wp.constant(wp.float64(1.0))
TWO = wp.constant(wp.float64(2.0))
LEAST = wp.constant(wp.float64(TINY))
NO_TRIANGLE = wp.constant(2147483647)


@wp.kernel(module=HOME)
@no_type_check
def classify(
    pos: wp.array2d(dtype=wp.vec4), height: int, width: int, codes: wp.array2d(dtype=int),
    fixed: wp.array2d(dtype=wp.vec2i), depths: wp.array2d(dtype=wp.float64),
):  # fmt: skip
    """Compute the bit mask of the planes that each vertex is beyond, and where it is if it is beyond none."""
    image, vertex = wp.tid()
    v = wide(pos[image, vertex])
    code = int(0)
    if wp.isfinite(v[0]) and wp.isfinite(v[1]) and wp.isfinite(v[2]) and wp.isfinite(v[3]):
        for plane in range(6):
            if distance(v, plane, band_of(height, width)) < ZERO:
                code = code | (1 << plane)
    else:
        code = NOT_FINITE
    codes[image, vertex] = code
    if code == 0:
        fixed[image, vertex] = wp.vec2i(int(snapped(v[0] / v[3], width)), int(snapped(v[1] / v[3], height)))
        depths[image, vertex] = v[2] / v[3]


@wp.func
@no_type_check
def bits_of(depth: wp.float64) -> wp.int64:
    """Return an integer that is ordered as the depth is."""
    bits = wp.cast(wp.where(depth == ZERO, ZERO, depth), wp.int64)
    return wp.where(bits < wp.int64(0), bits ^ wp.int64(9223372036854775807), bits)


@wp.func
@no_type_check
def depth_of(bits: wp.int64) -> wp.float64:
    """Return the depth of an integer, the inverse of `bits_of`."""
    return wp.cast(wp.where(bits < wp.int64(0), bits ^ wp.int64(9223372036854775807), bits), wp.float64)


@wp.func
@no_type_check
def draw(
    piece: Piece, image: int, triangle: int, lane: int, lanes: int, height: int, width: int,
    nearest: wp.array3d(dtype=wp.int64), owner: wp.array3d(dtype=int), second: int,
):  # fmt: skip
    """Draw each `lanes`-th row of a triangle: its depth, or if `second`, its number where it is the nearest."""
    if not piece.drawn:
        return
    left = wp.max(first_centre(wp.min(piece.x0, wp.min(piece.x1, piece.x2))), 0)
    right = wp.min(last_centre(wp.max(piece.x0, wp.max(piece.x1, piece.x2))), width - 1)
    bottom = wp.max(first_centre(wp.min(piece.y0, wp.min(piece.y1, piece.y2))), 0)
    top = wp.min(last_centre(wp.max(piece.y0, wp.max(piece.y1, piece.y2))), height - 1)
    row = bottom + lane
    while row <= top:
        py = wp.int64(row) * STEPS + HALF
        for column in range(left, right + 1):
            px = wp.int64(column) * STEPS + HALF
            a = (piece.x2 - piece.x1) * (py - piece.y1) - (piece.y2 - piece.y1) * (px - piece.x1)
            b = (piece.x0 - piece.x2) * (py - piece.y2) - (piece.y0 - piece.y2) * (px - piece.x2)
            c = (piece.x1 - piece.x0) * (py - piece.y0) - (piece.y1 - piece.y0) * (px - piece.x0)
            if (
                inside(a, piece.x2 - piece.x1, piece.y2 - piece.y1)
                and inside(b, piece.x0 - piece.x2, piece.y0 - piece.y2)
                and inside(c, piece.x1 - piece.x0, piece.y1 - piece.y0)
            ):
                z = wp.float64(a) * piece.depth[0] + wp.float64(b) * piece.depth[1] + wp.float64(c) * piece.depth[2]
                if z <= ONE:
                    if second == 0:
                        wp.atomic_min(nearest, image, row, column, bits_of(z))
                    elif nearest[image, row, column] == bits_of(z):
                        wp.atomic_min(owner, image, row, column, triangle)
        row += lanes


@wp.kernel(module=HOME)
@no_type_check
def cover(
    pos: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int), codes: wp.array2d(dtype=int),
    fixed: wp.array2d(dtype=wp.vec2i), depths: wp.array2d(dtype=wp.float64), lanes: int, second: int,
    nearest: wp.array3d(dtype=wp.int64), owner: wp.array3d(dtype=int),
):  # fmt: skip
    """Draw a share of the rows of each triangle."""
    image, triangle, lane = wp.tid()
    if not known(tri, triangle, pos.shape[1]):
        return
    height = nearest.shape[1]
    width = nearest.shape[2]
    i0 = tri[triangle, 0]
    i1 = tri[triangle, 1]
    i2 = tri[triangle, 2]
    c0 = codes[image, i0]
    c1 = codes[image, i1]
    c2 = codes[image, i2]
    if (c0 | c1 | c2) >= NOT_FINITE or (c0 & c1 & c2) != 0:
        return
    if (c0 | c1 | c2) == 0:
        piece = piece_of(
            fixed[image, i0],
            fixed[image, i1],
            fixed[image, i2],
            depths[image, i0],
            depths[image, i1],
            depths[image, i2],
        )
        draw(piece, image, triangle, lane, lanes, height, width, nearest, owner, second)
        return
    polygon = Clipped()
    for i in range(3):
        v = wide(pos[image, tri[triangle, i]])
        for k in range(4):
            polygon.corners[i, k] = v[k]
    polygon.count = 3
    polygon = clip(polygon, height, width)
    for i in range(2, polygon.count):
        a = vertex_of(polygon.corners, 0)
        b = vertex_of(polygon.corners, i - 1)
        c = vertex_of(polygon.corners, i)
        piece = piece_of(
            wp.vec2i(int(snapped(a[0] / a[3], width)), int(snapped(a[1] / a[3], height))),
            wp.vec2i(int(snapped(b[0] / b[3], width)), int(snapped(b[1] / b[3], height))),
            wp.vec2i(int(snapped(c[0] / c[3], width)), int(snapped(c[1] / c[3], height))),
            a[2] / a[3],
            b[2] / b[3],
            c[2] / c[3],
        )
        draw(piece, image, triangle, lane, lanes, height, width, nearest, owner, second)


@wp.kernel(module=HOME)
@no_type_check
def resolve(
    pos: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int), nearest: wp.array3d(dtype=wp.int64),
    owner: wp.array3d(dtype=int), rast: wp.array3d(dtype=wp.vec4), rast_db: wp.array3d(dtype=wp.vec4),
):  # fmt: skip
    """Compute u, v and their derivatives; see `barycentrics` of ref/rasterize.py."""
    image, row, column = wp.tid()
    triangle = owner[image, row, column]
    if triangle == NO_TRIANGLE:
        rast[image, row, column] = wp.vec4()
        rast_db[image, row, column] = wp.vec4()
        return
    height = owner.shape[1]
    width = owner.shape[2]
    corners = corners_of(pos, tri, image, triangle)
    value = edge_values(corners, pixel_centre(row, column, height, width))
    total = value[0] + value[1] + value[2]
    if total == ZERO:
        total = ONE
    u = value[0] / total
    v = value[1] / total
    w = value[2] / total
    sx = slopes_x(corners)
    sy = slopes_y(corners)
    all_x = sx[0] + sx[1] + sx[2]
    all_y = sy[0] + sy[1] + sy[2]
    per_column = TWO / wp.float64(width)
    per_row = TWO / wp.float64(height)
    rast_db[image, row, column] = wp.vec4(
        float((sx[0] - u * all_x) / total * per_column),
        float((sy[0] - u * all_y) / total * per_row),
        float((sx[1] - v * all_x) / total * per_column),
        float((sy[1] - v * all_y) / total * per_row),
    )
    if not (u >= ZERO and v >= ZERO and w >= ZERO):  # snapping drew a pixel just outside: clamp to the triangle
        u = wp.clamp(u, ZERO, ONE)
        v = wp.clamp(v, ZERO, ONE)
        sum_of_all = wp.max(u + v + wp.clamp(w, ZERO, ONE), LEAST)
        u = u / sum_of_all
        v = v / sum_of_all
    z = depth_of(nearest[image, row, column])
    rast[image, row, column] = wp.vec4(float(u), float(v), float(z), float(triangle + 1))


@wp.kernel(module=HOME)
@no_type_check
def backward(
    pos: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int), rast: wp.array3d(dtype=wp.vec4),
    grad_rast: wp.array3d(dtype=wp.vec4), grad_db: wp.array3d(dtype=wp.vec4), fast: wp.array(dtype=float),
    parts: wp.array2d(dtype=float), owners: wp.array(dtype=int),
):  # fmt: skip
    """Add the gradients of u, v and their derivatives to those of the vertices, see cpp/rasterize_backward.cpp."""
    image, row, column = wp.tid()
    triangle = int(rast[image, row, column][3]) - 1
    if not known(tri, triangle, pos.shape[1]):
        return
    at = pixel_centre(row, column, rast.shape[1], rast.shape[2])
    corners = corners_of(pos, tri, image, triangle)
    value = edge_values(corners, at)
    total = value[0] + value[1] + value[2]
    if total == ZERO:
        return
    scale = ONE / total
    b = value * scale
    if not (b[0] >= ZERO and b[1] >= ZERO and b[2] >= ZERO):
        return  # clamped to the triangle: constant
    g = grad_rast[image, row, column]
    grad_b = wp.vec3d(wp.float64(g[0]), wp.float64(g[1]), ZERO)
    grad_total = ZERO
    grads = CornerGrads()
    if grad_db.shape[0] > 0:
        sx = slopes_x(corners)
        sy = slopes_y(corners)
        all_x = sx[0] + sx[1] + sx[2]
        all_y = sy[0] + sy[1] + sy[2]
        per_column = TWO / wp.float64(rast.shape[2]) * scale
        per_row = TWO / wp.float64(rast.shape[1]) * scale
        d = grad_db[image, row, column]
        own_x = wp.vec3d(wp.float64(d[0]) * per_column, wp.float64(d[2]) * per_column, ZERO)
        own_y = wp.vec3d(wp.float64(d[1]) * per_row, wp.float64(d[3]) * per_row, ZERO)
        shared_x = own_x[0] * b[0] + own_x[1] * b[1]
        shared_y = own_y[0] * b[0] + own_y[1] * b[1]
        grad_b = grad_b - own_x * all_x - own_y * all_y
        grad_total = -wp.dot(own_x, sx - b * all_x) - wp.dot(own_y, sy - b * all_y)
        for i in range(3):
            grads = with_slopes(grads, corners, i, own_x[i] - shared_x, own_y[i] - shared_y)
    grad_total = (grad_total - grad_b[0] * b[0] - grad_b[1] * b[1]) * scale
    for i in range(3):
        grads = with_value(grads, corners, at, i, grad_total + grad_b[i] * scale)
    place = (image * rast.shape[1] + row) * rast.shape[2] + column
    add_grads(grads, tri, triangle, image * pos.shape[1], place, fast, parts, owners)
