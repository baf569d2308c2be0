"""Torch reference of silhouette antialiasing.

Independent implementation of the method of Laine et al. 2020, Modular Primitives for High-Performance Differentiable
Rendering, sec. 3.6.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bozzetto.kernels.ref.rasterize import edge_slopes, edge_values, pixel_centres

LONGEST_WALK = 8
"""Maximum number of triangles visited between two pixel centres."""


class Crossings(NamedTuple):
    """Pairs of neighbouring pixels with a silhouette edge between their centres."""

    image: Int[Tensor, "N"]
    near: Int[Tensor, "N 2"]
    """Row and column of the pixel whose triangle has the edge."""
    far: Int[Tensor, "N 2"]
    edge: Int[Tensor, "N 2"]
    """Vertices of the edge."""


def antialias(
    color: Float[Tensor, "B H W C"],
    rast: Float[Tensor, "B H W 4"],
    pos: Float[Tensor, "B V 4"],
    tri: Int[Tensor, "T 3"],
    opposite: Int[Tensor, "T 3"],
) -> Float[Tensor, "B H W C"]:
    """Torch reference of `bozzetto.kernels.mesh.antialias`; `opposite` is returned by `topology`."""
    height, width = color.shape[1:3]
    out = color
    for axis in (0, 1):
        image, near, far, edge = _crossings(rast, pos.detach().double(), tri.long(), opposite.long(), axis)
        ends = pos[image[:, None], edge].double()
        at_near = _edge_value(ends, pixel_centres(near[:, 0], near[:, 1], height, width))
        at_far = _edge_value(ends, pixel_centres(far[:, 0], far[:, 1], height, width))
        blend = (at_near / (at_near - at_far) - 0.5).to(color.dtype)
        target = torch.where(blend[:, None] > 0, far, near)
        difference = color[image, near[:, 0], near[:, 1]] - color[image, far[:, 0], far[:, 1]]
        at = (image, target[:, 0], target[:, 1])
        out = out.index_put(at, blend[:, None] * difference, accumulate=True)
    return out


def topology(tri: Int[Tensor, "T 3"]) -> Int[Tensor, "T 3"]:
    """Torch reference of `bozzetto.kernels.mesh.topology`."""
    start, end = tri.roll(-1, dims=1).flatten().long(), tri.roll(-2, dims=1).flatten().long()
    low, high = torch.minimum(start, end), torch.maximum(start, end)
    key, order = torch.sort(low * (high.max() + 1 if len(high) else 1) + high)
    border = key.new_full((2,), -1)
    padded = torch.cat([border, key, border])  # compared, not counted: that would wait for the device
    two_before, before, after, two_after = (padded[i : i + len(key)] == key for i in (0, 1, 3, 4))
    ordered = torch.cat([order[:1], order, order[-1:]])
    across = torch.where(after & ~before & ~two_after, ordered[2:], -1)
    across = torch.where(before & ~after & ~two_before, ordered[: len(key)], across)
    found = torch.empty_like(across).index_put((order,), across)
    return found.view(tri.shape).to(tri.dtype)


def _crossings(
    rast: Float[Tensor, "B H W 4"],
    pos: Float[Tensor, "B V 4"],
    tri: Int[Tensor, "T 3"],
    opposite: Int[Tensor, "T 3"],
    axis: int,
) -> Crossings:
    """Find the crossings between neighbours in a row (axis 0) or a column (axis 1).

    Walks from the nearer pixel toward the farther, from triangle to triangle over smooth edges, up to a silhouette.
    """
    height, width = rast.shape[1:3]
    image, near, far = _pairs(rast, axis)
    triangle, beyond = (rast[image, end[:, 0], end[:, 1], 3].long() - 1 for end in (near, far))
    silhouette = _silhouettes(pos, tri, opposite)
    across = opposite[triangle]
    shared = (across >= 0) & (across // 3 == beyond[:, None])
    walking = torch.nonzero(~(shared & ~silhouette[image, triangle]).any(dim=-1)).flatten()
    entry, reached = torch.full_like(image, -1), torch.full_like(image, -1)
    for _ in range(LONGEST_WALK):
        number = triangle[walking]
        corners = pos[image[walking, None], tri[number]]
        leaving, leaves = _exit(corners, near[walking], far[walking], entry[walking], height, width)
        corner = 3 * number + leaving
        ends = silhouette[image[walking], number, leaving]
        reached[walking[leaves & ends]] = corner[leaves & ends]
        onward = leaves & ~ends
        walking, following = walking[onward], opposite.flatten()[corner[onward]]
        triangle[walking], entry[walking] = following // 3, following % 3
    keep = torch.nonzero(reached >= 0).flatten()
    triangle, edge = reached[keep] // 3, reached[keep] % 3
    steep = _steep(pos[image[keep, None], tri[triangle]], height, width, axis).gather(1, edge[:, None])[:, 0]
    ends = torch.stack([(edge + 1) % 3, (edge + 2) % 3], dim=-1)
    keep, ends = keep[steep], tri[triangle].gather(1, ends)[steep]
    return Crossings(image[keep], near[keep], far[keep], ends)


def _exit(
    corners: Float[Tensor, "N 3 4"],
    near: Int[Tensor, "N 2"],
    far: Int[Tensor, "N 2"],
    entry: Int[Tensor, "N"],
    height: int,
    width: int,
) -> tuple[Int[Tensor, "N"], Bool[Tensor, "N"]]:
    """Return the edge by which the line from `near` to `far` leaves each triangle, and whether it does."""
    at_near = edge_values(corners, pixel_centres(near[:, 0], near[:, 1], height, width))
    at_far = edge_values(corners, pixel_centres(far[:, 0], far[:, 1], height, width))
    facing = (at_near * corners[..., 3]).sum(dim=-1, keepdim=True).sign()
    crossed = (at_near * facing >= 0) & (at_far * facing < 0)
    crossed &= torch.arange(3, device=entry.device) != entry[:, None]
    along = torch.where(crossed, at_near / (at_near - at_far), torch.inf)
    return along.argmin(dim=-1), crossed.any(dim=-1)


def _pairs(
    rast: Float[Tensor, "B H W 4"], axis: int
) -> tuple[Int[Tensor, "N"], Int[Tensor, "N 2"], Int[Tensor, "N 2"]]:
    """Return neighbours with different triangles: image, nearer and farther pixel. Empty pixels are farthest."""
    dim = 2 - axis
    count = rast.shape[dim] - 1
    first, second = rast.narrow(dim, 0, count), rast.narrow(dim, 1, count)
    image, row, column = torch.nonzero(first[..., 3] != second[..., 3], as_tuple=True)
    a, b = first[image, row, column], second[image, row, column]
    first_is_near = (a[:, 3] > 0) & ((b[:, 3] <= 0) | (a[:, 2] <= b[:, 2]))
    one = torch.stack([row, column], dim=-1)
    other = one + one.new_tensor([axis, 1 - axis])
    chosen = first_is_near[:, None]
    return image, torch.where(chosen, one, other), torch.where(chosen, other, one)


def _steep(corners: Float[Tensor, "N 3 4"], height: int, width: int, axis: int) -> Bool[Tensor, "N 3"]:
    """Return whether each edge is closer to perpendicular than to parallel to the pair; else the other axis applies."""
    x, y = edge_slopes(corners)
    x, y = x.abs() / width, y.abs() / height
    return x >= y if axis == 0 else y > x


def _silhouettes(
    pos: Float[Tensor, "B V 4"], tri: Int[Tensor, "T 3"], opposite: Int[Tensor, "T 3"]
) -> Bool[Tensor, "B T 3"]:
    """Return whether the edge opposite each corner is open, or its neighbour faces the other way, in each image."""
    (x, y, _, w), (x1, y1, _, w1), (x2, y2, _, w2) = (pos[:, tri[:, corner]].unbind(-1) for corner in range(3))
    side = (y1 * w2 - w1 * y2) * x + (x2 * w1 - w2 * x1) * y + (x1 * y2 - y1 * x2) * w
    facing = side.sign()
    other = opposite.clamp(min=0) // 3
    start = tri.roll(-1, dims=1)
    turned = start == tri[other, (opposite.clamp(min=0) + 1) % 3]  # inconsistent winding
    agreement = facing[:, :, None] * facing[:, other] * torch.where(turned, -1.0, 1.0)
    return (opposite < 0) | (agreement <= 0)


def _edge_value(ends: Float[Tensor, "N 2 4"], centre: Float[Tensor, "N 2"]) -> Float[Tensor, "N"]:
    away = ends[..., :2] - centre[:, None] * ends[..., 3:]
    return away[:, 0, 0] * away[:, 1, 1] - away[:, 0, 1] * away[:, 1, 0]
