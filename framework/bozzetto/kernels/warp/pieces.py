"""Pieces of triangles on the device: clipped, and snapped to the fixed-point grid, as in ref/rasterize.py."""

from typing import no_type_check

import warp as wp

from bozzetto.kernels.ref.rasterize import FIXED_LIMIT, SMALLEST_W, SUBPIXELS

MOST_CORNERS = 9
"""Of a triangle that is clipped by six planes."""

NOT_FINITE = wp.constant(64)
"""Code of a vertex that is not finite; those below are of the planes."""

STEPS = wp.constant(wp.int64(SUBPIXELS))
HALF = wp.constant(wp.int64(SUBPIXELS // 2))
STEPS_D = wp.constant(wp.float64(SUBPIXELS))
LIMIT = wp.constant(wp.float64(FIXED_LIMIT))
LEAST_W = wp.constant(wp.float64(SMALLEST_W))
ZERO = wp.constant(wp.float64(0.0))
ONE = wp.constant(wp.float64(1.0))
TWO = wp.constant(wp.float64(2.0))
HALF_D = wp.constant(wp.float64(0.5))

Polygon = wp.types.matrix(shape=(MOST_CORNERS, 4), dtype=wp.float64)


@wp.struct
@no_type_check
class Piece:
    """Triangle inside all planes, counter-clockwise: corners on the fixed-point grid, and their z/w over the area."""

    x0: wp.int64
    y0: wp.int64
    x1: wp.int64
    y1: wp.int64
    x2: wp.int64
    y2: wp.int64
    depth: wp.vec3d
    drawn: wp.bool


@wp.struct
@no_type_check
class Clipped:
    """Polygon of up to nine corners."""

    corners: Polygon  # type: ignore[valid-type]  # made by a function
    count: wp.int32


@wp.func
@no_type_check
def wide(v: wp.vec4) -> wp.vec4d:
    """Return a vertex in float64."""
    return wp.vec4d(wp.float64(v[0]), wp.float64(v[1]), wp.float64(v[2]), wp.float64(v[3]))


@wp.func
@no_type_check
def distance(v: wp.vec4d, plane: int, band: wp.float64) -> wp.float64:
    """Return the signed distance to the near plane, to w > 0, or to a band far outside the image."""
    if plane == 0:
        return v[2] + v[3]
    if plane == 1:
        return v[3] - LEAST_W
    if plane == 2:
        return band * v[3] + v[0]
    if plane == 3:
        return band * v[3] - v[0]
    if plane == 4:
        return band * v[3] + v[1]
    return band * v[3] - v[1]


@wp.func
@no_type_check
def band_of(height: int, width: int) -> wp.float64:
    """Return the range of x/w and y/w that the fixed-point grid covers."""
    return TWO * LIMIT / (wp.float64(wp.max(height, width)) * STEPS_D) - ONE


@wp.func
@no_type_check
def snapped(at: wp.float64, size: int) -> wp.int64:
    """Return a coordinate, divided by w, on the fixed-point grid."""
    return wp.int64(wp.floor((at * HALF_D + HALF_D) * (wp.float64(size) * STEPS_D) + HALF_D))


@wp.func
@no_type_check
def vertex_of(polygon: Polygon, i: int) -> wp.vec4d:
    """Return a corner of a polygon."""
    return wp.vec4d(polygon[i, 0], polygon[i, 1], polygon[i, 2], polygon[i, 3])


@wp.func
@no_type_check
def clip(start: Clipped, height: int, width: int) -> Clipped:
    """Clip a polygon by each plane (Sutherland and Hodgman 1974).

    Crossings are computed from the inner end to the outer one, so that both triangles at an edge get the same bits.
    """
    band = band_of(height, width)
    now = start
    for plane in range(6):
        kept = Clipped()
        found = int(0)
        for i in range(now.count):
            here = vertex_of(now.corners, i)
            after = vertex_of(now.corners, wp.where(i + 1 < now.count, i + 1, 0))
            at = distance(here, plane, band)
            beyond = distance(after, plane, band)
            if at >= ZERO and found < 9:
                for c in range(4):
                    kept.corners[found, c] = here[c]
                found += 1
            if (at >= ZERO) != (beyond >= ZERO) and found < 9:
                inner = here
                outer = after
                near = at
                far = beyond
                if at < ZERO:
                    inner = after
                    outer = here
                    near = beyond
                    far = at
                t = near / (near - far)
                for c in range(4):
                    kept.corners[found, c] = inner[c] + t * (outer[c] - inner[c])
                found += 1
        kept.count = wp.min(found, 4 + plane)
        now = kept
    return now


@wp.func
@no_type_check
def area_of(a: wp.vec2i, b: wp.vec2i, c: wp.vec2i) -> wp.int64:
    """Return twice the signed area of a triangle on the fixed-point grid."""
    return (wp.int64(b[0]) - wp.int64(a[0])) * (wp.int64(c[1]) - wp.int64(a[1])) - (wp.int64(b[1]) - wp.int64(a[1])) * (
        wp.int64(c[0]) - wp.int64(a[0])
    )


@wp.func
@no_type_check
def piece_of(a: wp.vec2i, b: wp.vec2i, c: wp.vec2i, za: wp.float64, zb: wp.float64, zc: wp.float64) -> Piece:
    """Return a triangle with its corners counter-clockwise, not drawn if it has no area."""
    piece = Piece()
    area = area_of(b, c, a)
    piece.drawn = area != wp.int64(0)
    if area == wp.int64(0):
        return piece
    size = wp.float64(wp.abs(area))
    piece.x0 = wp.int64(a[0])
    piece.y0 = wp.int64(a[1])
    if area > wp.int64(0):
        piece.x1 = wp.int64(b[0])
        piece.y1 = wp.int64(b[1])
        piece.x2 = wp.int64(c[0])
        piece.y2 = wp.int64(c[1])
        piece.depth = wp.vec3d(za / size, zb / size, zc / size)
    else:
        piece.x1 = wp.int64(c[0])
        piece.y1 = wp.int64(c[1])
        piece.x2 = wp.int64(b[0])
        piece.y2 = wp.int64(b[1])
        piece.depth = wp.vec3d(za / size, zc / size, zb / size)
    return piece


@wp.func
@no_type_check
def first_centre(low: wp.int64) -> int:
    """Return the first pixel whose centre is not before a fixed-point coordinate."""
    return int((low - HALF + STEPS - wp.int64(1)) >> wp.int64(12))


@wp.func
@no_type_check
def last_centre(high: wp.int64) -> int:
    """Return the last pixel whose centre is not behind a fixed-point coordinate."""
    return int((high - HALF) >> wp.int64(12))


@wp.func
@no_type_check
def inside(value: wp.int64, dx: wp.int64, dy: wp.int64) -> bool:
    """Return whether a point is to the left of an edge, or on it if it is a top or left edge."""
    none = wp.int64(0)
    return value > none or (value == none and (dy < none or (dy == none and dx < none)))
