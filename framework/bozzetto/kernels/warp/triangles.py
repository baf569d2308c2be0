"""Triangles in clip space on the device, in float64: homogeneous edge functions and their gradients.

The functions of cpp/corners.h and cpp/corner_grads.h (Olano and Greer 1997, Triangle Scan Conversion using 2D
Homogeneous Coordinates).
"""

from typing import no_type_check

import warp as wp


@wp.struct
@no_type_check
class Corners:
    """Corners of a triangle."""

    x: wp.vec3d
    y: wp.vec3d
    z: wp.vec3d
    w: wp.vec3d


@wp.struct
@no_type_check
class CornerGrads:
    """Gradients to x, y and w of three corners."""

    x: wp.vec3d
    y: wp.vec3d
    w: wp.vec3d


@wp.func
@no_type_check
def known(tri: wp.array2d(dtype=int), triangle: int, vertices: int) -> bool:
    """Return whether a triangle exists and all its vertices do."""
    if triangle < 0 or triangle >= tri.shape[0]:
        return False
    low = wp.min(tri[triangle, 0], wp.min(tri[triangle, 1], tri[triangle, 2]))
    high = wp.max(tri[triangle, 0], wp.max(tri[triangle, 1], tri[triangle, 2]))
    return low >= 0 and high < vertices


@wp.func
@no_type_check
def corners_of(pos: wp.array2d(dtype=wp.vec4), tri: wp.array2d(dtype=int), image: int, triangle: int) -> Corners:
    """Return the corners of a triangle that is `known`."""
    a = pos[image, tri[triangle, 0]]
    b = pos[image, tri[triangle, 1]]
    c = pos[image, tri[triangle, 2]]
    found = Corners()
    found.x = wp.vec3d(wp.float64(a[0]), wp.float64(b[0]), wp.float64(c[0]))
    found.y = wp.vec3d(wp.float64(a[1]), wp.float64(b[1]), wp.float64(c[1]))
    found.z = wp.vec3d(wp.float64(a[2]), wp.float64(b[2]), wp.float64(c[2]))
    found.w = wp.vec3d(wp.float64(a[3]), wp.float64(b[3]), wp.float64(c[3]))
    return found


@wp.func
@no_type_check
def pixel_centre(row: int, column: int, height: int, width: int) -> wp.vec2d:
    """Return normalised device coordinates of a pixel; row 0 is the bottom row."""
    two = wp.float64(2.0)
    one = wp.float64(1.0)
    x = (two * wp.float64(column) + one) / wp.float64(width) - one
    y = (two * wp.float64(row) + one) / wp.float64(height) - one
    return wp.vec2d(x, y)


@wp.func
@no_type_check
def turned_product(a: wp.vec3d, b: wp.vec3d) -> wp.vec3d:
    """Return a[j] b[k] - b[j] a[k] for each corner i with the others j and k."""
    return wp.vec3d(a[1] * b[2] - b[1] * a[2], a[2] * b[0] - b[2] * a[0], a[0] * b[1] - b[0] * a[1])


@wp.func
@no_type_check
def edge_values(corners: Corners, at: wp.vec2d) -> wp.vec3d:
    """Return the edge functions opposite each corner at a point; proportional to the barycentrics."""
    return turned_product(corners.x - at[0] * corners.w, corners.y - at[1] * corners.w)


@wp.func
@no_type_check
def slopes_x(corners: Corners) -> wp.vec3d:
    """Return the derivatives of the edge functions with respect to x."""
    return turned_product(corners.y, corners.w)


@wp.func
@no_type_check
def slopes_y(corners: Corners) -> wp.vec3d:
    """Return the derivatives of the edge functions with respect to y."""
    return -turned_product(corners.x, corners.w)


@wp.func
@no_type_check
def next_of(i: int) -> int:
    """Return the corner after a corner."""
    return wp.where(i == 2, 0, i + 1)


@wp.func
@no_type_check
def with_value(grads: CornerGrads, c: Corners, at: wp.vec2d, i: int, grad: wp.float64) -> CornerGrads:
    """Add the gradient of the edge function opposite corner i at a point."""
    j = next_of(i)
    k = next_of(j)
    jx = c.x[j] - at[0] * c.w[j]
    jy = c.y[j] - at[1] * c.w[j]
    kx = c.x[k] - at[0] * c.w[k]
    ky = c.y[k] - at[1] * c.w[k]
    grads.x[j] = grads.x[j] + grad * ky
    grads.y[j] = grads.y[j] - grad * kx
    grads.x[k] = grads.x[k] - grad * jy
    grads.y[k] = grads.y[k] + grad * jx
    grads.w[j] = grads.w[j] + grad * (at[1] * kx - at[0] * ky)
    grads.w[k] = grads.w[k] + grad * (at[0] * jy - at[1] * jx)
    return grads


@wp.func
@no_type_check
def with_slopes(grads: CornerGrads, c: Corners, i: int, to_x: wp.float64, to_y: wp.float64) -> CornerGrads:
    """Add the gradient of that function's derivatives with respect to x and y."""
    j = next_of(i)
    k = next_of(j)
    grads.y[j] = grads.y[j] + to_x * c.w[k]
    grads.w[k] = grads.w[k] + to_x * c.y[j]
    grads.w[j] = grads.w[j] - to_x * c.y[k]
    grads.y[k] = grads.y[k] - to_x * c.w[j]
    grads.x[k] = grads.x[k] + to_y * c.w[j]
    grads.w[j] = grads.w[j] + to_y * c.x[k]
    grads.w[k] = grads.w[k] - to_y * c.x[j]
    grads.x[j] = grads.x[j] - to_y * c.w[k]
    return grads
