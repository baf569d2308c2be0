"""Kernels of antialiasing, see ref/antialias.py.

First the blend of every pair of neighbours is computed, then every pixel gathers from its pairs, so that only gradients
to vertices are added by several threads. In Warp, `and` evaluates both sides: what must not be read stands in an `if`
of its own.
"""

from typing import no_type_check

import warp as wp

from bozzetto.kernels.ref.antialias import LONGEST_WALK
from bozzetto.kernels.warp.runtime import module
from bozzetto.kernels.warp.triangles import (
    CornerGrads,
    corners_of,
    edge_values,
    known,
    next_of,
    pixel_centre,
    slopes_x,
    slopes_y,
    with_value,
)
from bozzetto.kernels.warp.vertex_sums import add_grads

HOME = module("antialias")

NONE = wp.constant(2.0)
"""No blend; blends are in [-0.5, 0.5]."""

LONGEST = wp.constant(LONGEST_WALK)
ZERO = wp.constant(wp.float64(0.0))


@wp.struct
@no_type_check
class Pair:
    """Two neighbouring pixels, ordered by which one has the nearer surface."""

    near: wp.vec2i
    far: wp.vec2i


@wp.struct
@no_type_check
class Crossing:
    """Silhouette crossed by the line from the near to the far pixel of a pair; edge -1: none."""

    triangle: wp.int32
    edge: wp.int32
    at_near: wp.float64
    at_far: wp.float64


@wp.func
@no_type_check
def number_at(rast: wp.array3d(dtype=wp.vec4), image: int, pixel: wp.vec2i) -> int:
    """Return the triangle of a pixel (row, column), -1 for none."""
    return int(rast[image, pixel[0], pixel[1]][3]) - 1


@wp.func
@no_type_check
def pair_of(rast: wp.array3d(dtype=wp.vec4), image: int, first: wp.vec2i, second: wp.vec2i) -> Pair:
    """Return a pair in its order; empty pixels are farthest."""
    pair = Pair()
    pair.near = first
    pair.far = second
    swap = rast[image, first[0], first[1]][2] > rast[image, second[0], second[1]][2]
    if number_at(rast, image, first) < 0 or number_at(rast, image, second) < 0:
        swap = number_at(rast, image, first) < 0
    if swap:
        pair.near = second
        pair.far = first
    return pair


@wp.func
@no_type_check
def after(pixel: wp.vec2i, axis: int, by: int) -> wp.vec2i:
    """Return the neighbour to the right (axis 0) or above (axis 1), or for `by` -1 the previous one."""
    if axis == 0:
        return wp.vec2i(pixel[0], pixel[1] + by)
    return wp.vec2i(pixel[0] + by, pixel[1])


@wp.func
@no_type_check
def exit_of(
    pos: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int), image: int, pair: Pair, triangle: int, entry: int,
    height: int, width: int,
) -> Crossing:  # fmt: skip
    """Return the edge by which the line of a pair leaves a triangle that it entered at edge `entry`."""
    corners = corners_of(pos, tri, image, triangle)
    start = edge_values(corners, pixel_centre(pair.near[0], pair.near[1], height, width))
    end = edge_values(corners, pixel_centre(pair.far[0], pair.far[1], height, width))
    facing = wp.dot(start, corners.w)
    found = Crossing()
    found.triangle = triangle
    found.edge = -1
    nearest = wp.float64(wp.inf)
    for i in range(3):
        crossed = start[i] <= ZERO and end[i] > ZERO
        if facing > ZERO:
            crossed = start[i] >= ZERO and end[i] < ZERO
        if crossed and i != entry and facing != ZERO:
            along = start[i] / (start[i] - end[i])
            if along < nearest:
                nearest = along
                found.edge = i
                found.at_near = start[i]
                found.at_far = end[i]
    return found


@wp.func
@no_type_check
def crossing_of(
    pos: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int), opposite: wp.array2d(dtype=int),
    outlines: wp.array2d(dtype=int), image: int, pair: Pair, triangle: int, height: int, width: int,
) -> Crossing:  # fmt: skip
    """Follow the surface of the near pixel over smooth edges up to a silhouette."""
    found = exit_of(pos, tri, image, pair, triangle, -1, height, width)
    step = int(1)
    while found.edge >= 0 and ((outlines[image, found.triangle] >> found.edge) & 1) == 0:
        across = opposite[found.triangle, found.edge]
        found = exit_of(pos, tri, image, pair, across // 3, across % 3, height, width)
        if step == LONGEST:
            found.edge = -1
        step += 1
    return found


@wp.kernel(module=HOME)
@no_type_check
def face(pos: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int), facings: wp.array2d(dtype=int)):
    """Compute the visible side of each triangle, 1 or -1; 0 if it is seen edge-on."""
    image, triangle = wp.tid()
    facings[image, triangle] = 0
    if not known(tri, triangle, pos.shape[1]):
        return
    c = corners_of(pos, tri, image, triangle)
    side = slopes_x(c)[0] * c.x[0] + slopes_y(c)[0] * c.y[0] + (c.x[1] * c.y[2] - c.y[1] * c.x[2]) * c.w[0]
    facings[image, triangle] = wp.where(side > ZERO, 1, 0) - wp.where(side < ZERO, 1, 0)


@wp.kernel(module=HOME)
@no_type_check
def outline(
    tri: wp.array2d(dtype=int), opposite: wp.array2d(dtype=int), facings: wp.array2d(dtype=int),
    outlines: wp.array2d(dtype=int),
):  # fmt: skip
    """Set bit i if the edge opposite corner i is open, or the triangle across it faces the other way."""
    image, triangle = wp.tid()
    bits = int(0)
    for i in range(3):
        across = opposite[triangle, i]
        silhouette = True
        if across >= 0 and across < 3 * tri.shape[0]:
            other = across // 3
            turned = tri[triangle, next_of(i)] == tri[other, next_of(across % 3)]  # inconsistent winding
            agreement = facings[image, triangle] * facings[image, other] * wp.where(turned, -1, 1)
            silhouette = agreement <= 0
        if silhouette:
            bits = bits | (1 << i)
    outlines[image, triangle] = bits


@wp.kernel(module=HOME)
@no_type_check
def blend(
    rast: wp.array3d(dtype=wp.vec4), pos: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int),
    opposite: wp.array2d(dtype=int), outlines: wp.array2d(dtype=int), blends: wp.array3d(dtype=wp.vec2),
):  # fmt: skip
    """Compute the blends of each pixel with the next ones to the right and above."""
    image, row, column = wp.tid()
    height = rast.shape[1]
    width = rast.shape[2]
    found = wp.vec2(NONE, NONE)
    pixel = wp.vec2i(row, column)
    for axis in range(2):
        beside = after(pixel, axis, 1)
        if beside[0] < height and beside[1] < width:  # noqa: SIM102
            if number_at(rast, image, pixel) != number_at(rast, image, beside):
                pair = pair_of(rast, image, pixel, beside)
                triangle = number_at(rast, image, pair.near)
                beyond = number_at(rast, image, pair.far)
                smooth = not known(tri, triangle, pos.shape[1])
                if not smooth:
                    for i in range(3):
                        across = opposite[triangle, i]
                        shares = across >= 0 and across // 3 == beyond
                        if shares and ((outlines[image, triangle] >> i) & 1) == 0:
                            smooth = True
                if not smooth:
                    crossing = crossing_of(pos, tri, opposite, outlines, image, pair, triangle, height, width)
                    if crossing.edge >= 0:
                        corners = corners_of(pos, tri, image, crossing.triangle)
                        x = wp.abs(slopes_x(corners)[crossing.edge]) / wp.float64(width)
                        y = wp.abs(slopes_y(corners)[crossing.edge]) / wp.float64(height)
                        # Steep edges act on pairs in a row, the others on pairs in a column.
                        if (axis == 0 and x >= y) or (axis == 1 and y > x):
                            along = crossing.at_near / (crossing.at_near - crossing.at_far)
                            found[axis] = float(along - wp.float64(0.5))
    blends[image, row, column] = found


@wp.func
@no_type_check
def target_of(pair: Pair, blended: float) -> wp.vec2i:
    """Return the pixel that a blend changes."""
    if blended > 0.0:
        return pair.far
    return pair.near


@wp.kernel(module=HOME)
@no_type_check
def apply(
    color: wp.array4d(dtype=float), rast: wp.array3d(dtype=wp.vec4), blends: wp.array3d(dtype=wp.vec2),
    backward: int, out: wp.array4d(dtype=float),
):  # fmt: skip
    """Blend each pixel with its neighbours; or if `backward`, apply the transpose of that, to gradients."""
    image, row, column = wp.tid()
    pixel = wp.vec2i(row, column)
    for c in range(color.shape[3]):
        out[image, row, column, c] = color[image, row, column, c]
    for axis in range(2):
        for side in range(2):
            first = after(pixel, axis, side - 1)
            if first[0] >= 0 and first[1] >= 0:
                blended = blends[image, first[0], first[1]][axis]
                if blended != NONE:
                    pair = pair_of(rast, image, first, after(first, axis, 1))
                    target = target_of(pair, blended)
                    if backward == 1:
                        share = -blended
                        if pair.near[0] == row and pair.near[1] == column:
                            share = blended
                        for c in range(color.shape[3]):
                            grad = color[image, target[0], target[1], c]
                            out[image, row, column, c] = out[image, row, column, c] + share * grad
                    elif target[0] == row and target[1] == column:
                        for c in range(color.shape[3]):
                            near = color[image, pair.near[0], pair.near[1], c]
                            far = color[image, pair.far[0], pair.far[1], c]
                            out[image, row, column, c] = out[image, row, column, c] + blended * (near - far)


@wp.kernel(module=HOME)
@no_type_check
def backward_pos(
    color: wp.array4d(dtype=float), rast: wp.array3d(dtype=wp.vec4), pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array2d(dtype=int), opposite: wp.array2d(dtype=int), outlines: wp.array2d(dtype=int),
    blends: wp.array3d(dtype=wp.vec2), grad: wp.array4d(dtype=float), fast: wp.array(dtype=float),
    parts: wp.array2d(dtype=float), owners: wp.array(dtype=int),
):  # fmt: skip
    """Add the gradients of the crossings of each pixel's blends to the vertices of the edges."""
    image, row, column = wp.tid()
    height = rast.shape[1]
    width = rast.shape[2]
    pixel = wp.vec2i(row, column)
    for axis in range(2):
        blended = blends[image, row, column][axis]
        if blended != NONE:
            pair = pair_of(rast, image, pixel, after(pixel, axis, 1))
            target = target_of(pair, blended)
            total = float(0.0)
            for c in range(color.shape[3]):
                near = color[image, pair.near[0], pair.near[1], c]
                far = color[image, pair.far[0], pair.far[1], c]
                total += grad[image, target[0], target[1], c] * (near - far)
            triangle = number_at(rast, image, pair.near)
            crossing = crossing_of(pos, tri, opposite, outlines, image, pair, triangle, height, width)
            corners = corners_of(pos, tri, image, crossing.triangle)
            difference = crossing.at_near - crossing.at_far
            scale = wp.float64(total) / (difference * difference)
            grads = CornerGrads()
            at_near = pixel_centre(pair.near[0], pair.near[1], height, width)
            at_far = pixel_centre(pair.far[0], pair.far[1], height, width)
            grads = with_value(grads, corners, at_near, crossing.edge, -scale * crossing.at_far)
            grads = with_value(grads, corners, at_far, crossing.edge, scale * crossing.at_near)
            place = 2 * ((image * height + row) * width + column) + axis
            add_grads(grads, tri, crossing.triangle, image * pos.shape[1], place, fast, parts, owners)
