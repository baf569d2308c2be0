"""Torch reference of rasterisation: the triangle visible at each pixel centre, and its barycentrics there.

Visibility is decided by integers: corners are snapped to 1/4096 of a pixel, edge functions are exact (Pineda 1988, A
Parallel Algorithm for Polygon Rasterization) and ties follow the top-left rule, so that a pixel on a shared edge
belongs to exactly one triangle. Barycentrics are computed from the unsnapped homogeneous corners (Olano and Greer 1997,
Triangle Scan Conversion using 2D Homogeneous Coordinates), which needs no clipping. Computed in float64.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SUBPIXELS = 1 << 12
"""Steps of the fixed-point grid per pixel."""

FIXED_LIMIT = 1 << 29
"""Bound of snapped coordinates, so that edge functions fit 64 bits."""

SMALLEST_W = 1e-8
"""Minimum clip-space w; nothing is drawn below it."""

CANDIDATES_PER_CHUNK = 1 << 20
"""(triangle, pixel) pairs tested at a time; bounds memory."""

TINY = 1e-30


def rasterize(
    pos: Float[Tensor, "B V 4"], tri: Int[Tensor, "T 3"], height: int, width: int
) -> tuple[Float[Tensor, "B H W 4"], Float[Tensor, "B H W 4"]]:
    """Torch reference of `bozzetto.kernels.mesh.rasterize`."""
    seen = [_visible(clip[tri.long()], height, width) for clip in pos.detach().double()]
    owner, depth = (torch.stack(planes).unflatten(1, (height, width)) for planes in zip(*seen, strict=True))
    image, row, column = torch.nonzero(owner >= 0, as_tuple=True)
    triangle = owner[image, row, column]
    corners = pos[image[:, None], tri[triangle].long()].double()
    uv, uv_db = barycentrics(corners, pixel_centres(row, column, height, width), height, width)
    found = torch.cat([uv, depth[image, row, column, None], triangle[:, None] + 1.0], dim=-1)
    rast, rast_db = (pos.new_zeros(len(pos), height, width, 4) for _ in range(2))
    at = (image, row, column)
    return rast.index_put(at, found.to(pos.dtype)), rast_db.index_put(at, uv_db.to(pos.dtype))


def pixel_centres(row: Int[Tensor, "*N"], column: Int[Tensor, "*N"], height: int, width: int) -> Float[Tensor, "*N 2"]:
    """Return normalised device coordinates of pixel centres; row 0 is the bottom row."""
    return torch.stack([(2.0 * column.double() + 1.0) / width - 1.0, (2.0 * row.double() + 1.0) / height - 1.0], dim=-1)


def edge_values(corners: Float[Tensor, "N 3 4"], centre: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    """Evaluate the homogeneous edge functions opposite corners 0, 1, 2 at a point; proportional to the barycentrics."""
    away = corners[..., :2] - centre[:, None] * corners[..., 3:]
    return _cross(away.roll(-1, dims=1), away.roll(-2, dims=1))


def edge_slopes(corners: Float[Tensor, "N 3 4"]) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Return the derivatives of `edge_values` with respect to x and y in normalised device coordinates."""
    first, second = corners.roll(-1, dims=1), corners.roll(-2, dims=1)
    return _cross(first[..., 1::2], second[..., 1::2]), _cross(second[..., 0::3], first[..., 0::3])


def barycentrics(
    corners: Float[Tensor, "N 3 4"], centre: Float[Tensor, "N 2"], height: int, width: int
) -> tuple[Float[Tensor, "N 2"], Float[Tensor, "N 4"]]:
    """Return perspective-correct u, v and (du/dX, du/dY, dv/dX, dv/dY) per pixel.

    Snapping can draw a pixel whose centre is just outside its triangle: u, v are then clamped to it, without gradient.
    """
    values = edge_values(corners, centre)
    total = values.sum(dim=-1, keepdim=True)
    total = torch.where(total == 0, torch.ones_like(total), total)
    weight = values / total
    slopes = [
        (slope - weight * slope.sum(dim=-1, keepdim=True)) / total * (2.0 / pixels)
        for slope, pixels in zip(edge_slopes(corners), (width, height), strict=True)
    ]
    change = torch.stack(slopes, dim=-1)[:, :2].flatten(1)
    inside = (weight >= 0).all(dim=-1, keepdim=True)
    onto = weight.detach().clamp(0.0, 1.0)
    onto = onto / onto.sum(dim=-1, keepdim=True).clamp(min=TINY)
    return torch.where(inside, weight, onto)[:, :2], torch.where(inside, change, change.detach())


def _cross(a: Float[Tensor, "N 3 2"], b: Float[Tensor, "N 3 2"]) -> Float[Tensor, "N 3"]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _visible(corners: Float[Tensor, "T 3 4"], height: int, width: int) -> tuple[Int[Tensor, "P"], Float[Tensor, "P"]]:
    """Return the nearest triangle per pixel, -1 for none, and its z/w; bottom row first. Ties: the lowest number."""
    nearest = corners.new_full((height * width,), torch.inf)
    owner = torch.full((height * width,), len(corners), device=corners.device)
    pixel, depth, triangle = _fragments(*_pieces(corners, height, width), height, width)
    nearest = nearest.scatter_reduce(0, pixel, depth, "amin")
    front = depth == nearest[pixel]
    owner = owner.scatter_reduce(0, pixel[front], triangle[front], "amin")
    return torch.where(owner == len(corners), -1, owner), nearest.masked_fill(owner == len(corners), 0.0)


def _pieces(
    corners: Float[Tensor, "T 3 4"], height: int, width: int
) -> tuple[Int[Tensor, "P 3 2"], Float[Tensor, "P 3"], Int[Tensor, "P"]]:
    """Clip and snap the triangles in front of the camera: counter-clockwise corners, their z/w, source triangles."""
    planes = _planes(corners, height, width)
    drawable = corners.isfinite().flatten(1).all(dim=1) & ~(planes < 0).all(dim=1).any(dim=-1)
    cut = drawable & (planes < 0).flatten(1).any(dim=1)
    numbers = torch.arange(len(corners), device=corners.device)
    clipped, parent = _clip(corners[cut], height, width)
    kept = torch.cat([corners[drawable & ~cut], clipped])
    owner = torch.cat([numbers[drawable & ~cut], numbers[cut][parent]])
    size = kept.new_tensor([width, height])
    screen = kept[..., :2] / kept[..., 3:] * 0.5 + 0.5
    fixed = (screen * (size * SUBPIXELS) + 0.5).floor().long()
    depth = kept[..., 2] / kept[..., 3]
    area = _edge(fixed[:, 1], fixed[:, 2], fixed[:, 0])
    flip = torch.tensor([0, 2, 1], device=corners.device)
    fixed = torch.where((area < 0)[:, None, None], fixed[:, flip], fixed)
    depth = torch.where((area < 0)[:, None], depth[:, flip], depth)
    return fixed[area != 0], depth[area != 0], owner[area != 0]


def _planes(corners: Float[Tensor, "N K 4"], height: int, width: int) -> Float[Tensor, "N K 6"]:
    """Return signed distances to the clip planes: near plane, w > 0, and a band far outside the image."""
    x, y, z, w = corners.unbind(-1)
    far = 2.0 * FIXED_LIMIT / (max(height, width) * SUBPIXELS) - 1.0
    return torch.stack([z + w, w - SMALLEST_W, far * w + x, far * w - x, far * w + y, far * w - y], dim=-1)


def _clip(corners: Float[Tensor, "N 3 4"], height: int, width: int) -> tuple[Float[Tensor, "M 3 4"], Int[Tensor, "M"]]:
    """Clip polygons by each plane (Sutherland and Hodgman 1974) and triangulate them; returns source rows, too.

    Crossings are computed from the inner end to the outer one, so that both triangles at an edge get the same bits.
    """
    polygon, count = corners, torch.full((len(corners),), 3, device=corners.device)
    for plane in range(6):
        slot = torch.arange(polygon.shape[1], device=corners.device)
        used = slot < count[:, None]
        following = torch.where(slot + 1 < count[:, None], slot + 1, 0)[..., None]
        distance = _planes(polygon, height, width)[..., plane, None]
        after = polygon.gather(1, following.expand_as(polygon))
        after_distance = distance.gather(1, following)
        leaving = distance >= 0
        crossing = leaving != (after_distance >= 0)
        inner, outer = torch.where(leaving, polygon, after), torch.where(leaving, after, polygon)
        near, beyond = torch.where(leaving, distance, after_distance), torch.where(leaving, after_distance, distance)
        cut = inner + near / (near - beyond) * (outer - inner)
        emitted = torch.stack([used & leaving[..., 0], used & crossing[..., 0]], dim=-1).flatten(1)
        order = torch.sort(~emitted, dim=1, stable=True).indices[:, : polygon.shape[1] + 1, None]
        polygon = torch.stack([polygon, cut], dim=2).flatten(1, 2).gather(1, order.expand(-1, -1, 4))
        count = emitted.sum(dim=1)
    last = torch.arange(2, polygon.shape[1], device=corners.device)
    parent, index = torch.nonzero(last < count[:, None], as_tuple=True)
    return torch.stack([polygon[parent, 0], polygon[parent, index + 1], polygon[parent, index + 2]], dim=1), parent


def _edge(a: Int[Tensor, "N 2"], b: Int[Tensor, "N 2"], point: Int[Tensor, "N 2"]) -> Int[Tensor, "N"]:
    """Return twice the signed area of a, b, point: positive where the point is to the left of a -> b."""
    along, to = b - a, point - a
    return along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]


def _fragments(
    fixed: Int[Tensor, "P 3 2"], depth: Float[Tensor, "P 3"], owner: Int[Tensor, "P"], height: int, width: int
) -> tuple[Int[Tensor, "F"], Float[Tensor, "F"], Int[Tensor, "F"]]:
    """Return every covered pixel of every piece: pixel number, z/w, source triangle."""
    half, last = SUBPIXELS // 2, fixed.new_tensor([width - 1, height - 1])
    low = (-((half - fixed.amin(dim=1)) // SUBPIXELS)).clamp(min=0)
    high = torch.minimum((fixed.amax(dim=1) - half) // SUBPIXELS, last)
    columns, rows = (high - low + 1).clamp(min=0).unbind(-1)
    pixels = rows * columns
    chunk = (pixels.cumsum(0) - 1).clamp(min=0) // CANDIDATES_PER_CHUNK
    numbers = torch.arange(len(owner), device=owner.device)
    found = []
    for pieces in torch.split(numbers, chunk.unique(return_counts=True)[1].tolist()):
        piece = torch.repeat_interleave(pieces, pixels[pieces])
        start = pixels[pieces].cumsum(0) - pixels[pieces]
        local = torch.arange(len(piece), device=owner.device) - start[piece - pieces[0]]
        column = low[piece, 0] + local % columns[piece]
        row = low[piece, 1] + local // columns[piece]
        covered, at = _covered(fixed[piece], depth[piece], torch.stack([column, row], dim=-1) * SUBPIXELS + half)
        found.append(((row * width + column)[covered], at[covered], owner[piece][covered]))
    empty = (owner.new_zeros(0), depth.new_zeros(0), owner.new_zeros(0))
    pixel, nearness, owners = (torch.cat(parts) for parts in zip(empty, *found, strict=True))
    return pixel, nearness, owners


def _covered(
    fixed: Int[Tensor, "N 3 2"], depth: Float[Tensor, "N 3"], point: Int[Tensor, "N 2"]
) -> tuple[Bool[Tensor, "N"], Float[Tensor, "N"]]:
    """Return whether each point is inside its piece and before the far plane, and its z/w (affine on the screen)."""
    area = _edge(fixed[:, 1], fixed[:, 2], fixed[:, 0])
    covered, at = torch.ones_like(area, dtype=torch.bool), torch.zeros_like(depth[:, 0])
    for corner in range(3):
        a, b = fixed[:, (corner + 1) % 3], fixed[:, (corner + 2) % 3]
        value = _edge(a, b, point)
        step_x, step_y = (b - a).unbind(-1)
        top_left = (step_y < 0) | ((step_y == 0) & (step_x < 0))
        covered &= (value > 0) | ((value == 0) & top_left)
        at = at + value.double() * (depth[:, corner] / area)
    return covered & (at <= 1.0), at
