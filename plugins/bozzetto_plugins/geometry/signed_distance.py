"""Distances from points to a triangle mesh, and the inside test for lattice points."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from bozzetto.types import TriangleMesh

CANDIDATES = 8
"""Number of surface samples per point whose triangles are measured exactly."""
LARGEST_SAMPLE_COUNT = 2_000_000
NUDGE = (0.374e-4, 0.618e-4)
"""Offset of the columns, in lattice spacings; avoids rays exactly through vertices or edges of a symmetric mesh."""


def distance_to_mesh(points: Float[Tensor, "S 3"], mesh: TriangleMesh, limit: float) -> Float[Tensor, "S"]:
    """Return the unsigned distance of each point to the surface, clamped at `limit`.

    The surface is covered with samples at most half of `limit` apart. Points near it are measured exactly to the
    triangles of their nearest samples (Ericson 2005, Real-Time Collision Detection, sec. 5.1.5).
    """
    corners = mesh.vertices.detach().double().cpu().numpy()[mesh.faces.cpu().numpy()]
    samples, owner = _cover(corners, 0.5 * limit)
    where = points.detach().double().cpu().numpy()
    tree = cKDTree(samples)
    nearest, _ = tree.query(where, distance_upper_bound=1.5 * limit)
    near = np.flatnonzero(np.isfinite(nearest))
    distance = np.full(len(where), limit)
    if len(near):
        _, candidates = tree.query(where[near], k=min(CANDIDATES, len(samples)))
        triangles = corners[owner[candidates.reshape(len(near), -1)]]
        at = np.broadcast_to(where[near][:, None], (*triangles.shape[:2], 3))
        exact = _to_triangle(at.reshape(-1, 3), triangles.reshape(-1, 3, 3)).reshape(len(near), -1)
        distance[near] = exact.min(axis=1).clip(max=limit)
    return torch.from_numpy(distance).to(points)


def _cover(
    corners: Float[np.ndarray, "T 3 3"], spacing: float
) -> tuple[Float[np.ndarray, "N 3"], Int[np.ndarray, "N"]]:
    """Sample triangles such that each surface point is within `spacing` of a sample; also return the owners."""
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(axis=1)
    parts = np.maximum(1, np.ceil(longest / spacing)).astype(np.int64)
    total = int(((parts + 1) * (parts + 2) // 2).sum())
    if total > LARGEST_SAMPLE_COUNT:
        parts = np.maximum(1, (parts * np.sqrt(LARGEST_SAMPLE_COUNT / total)).astype(np.int64))
    samples, owner = [], []
    for count in np.unique(parts):
        of_count = np.flatnonzero(parts == count)
        i, j = np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij")
        keep = i + j <= count
        weight = np.stack([i[keep], j[keep], count - i[keep] - j[keep]], -1) / count
        samples.append(np.einsum("nk,tkc->tnc", weight, corners[of_count]).reshape(-1, 3))
        owner.append(np.repeat(of_count, len(weight)))
    return np.concatenate(samples), np.concatenate(owner)


def _to_triangle(p: Float[np.ndarray, "N 3"], triangle: Float[np.ndarray, "N 3 3"]) -> Float[np.ndarray, "N"]:
    """Return the distance of each point to its triangle: to the plane if it projects inside, else to an edge."""
    a, b, c = triangle.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    inside = length > 0.0
    best = np.full(len(p), np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        along, to = end - start, p - start
        inside &= (np.cross(along, to) * normal).sum(1) >= 0.0
        squared = (along * along).sum(1)
        share = np.clip((to * along).sum(1) / np.where(squared > 0.0, squared, 1.0), 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(to - share[:, None] * along, axis=1))
    to_plane = np.abs(((p - a) * normal).sum(1)) / np.where(length > 0.0, length, 1.0)
    return np.where(inside, to_plane, best)


def lattice_inside(axis: Float[Tensor, "N"], mesh: TriangleMesh) -> Bool[Tensor, "N3"]:
    """Return which points of the lattice axis x axis x axis (ascending, z fastest) are inside a closed mesh.

    A ray is cast upward from each point; upward-facing triangles count +1, others -1, and a point is inside if the sum
    is above 0. Parts of the mesh may overlap. A hole causes one column of wrong answers above or below it.
    """
    coordinate = axis.detach().double().cpu().numpy()
    count, low, spacing = len(coordinate), coordinate[0], coordinate[1] - coordinate[0]
    corners = mesh.vertices.detach().double().cpu().numpy()[mesh.faces.cpu().numpy()]
    flat = (corners[..., :2] - low) / spacing - np.asarray(NUDGE)
    column, row, owner = _columns(flat, count)
    weight = _plane_weights(flat[owner], np.stack([column, row], -1).astype(np.float64))
    hit = (weight >= 0.0).all(1)
    column, row, owner, weight = column[hit], row[hit], owner[hit], weight[hit]
    height = (weight * corners[owner][..., 2]).sum(1)
    a, b, c = flat[owner].transpose(1, 0, 2)
    upward = np.sign(_cross(b - a, c - a)).astype(np.int64)
    below = np.searchsorted(coordinate, height)  # lattice points with z index < below are below the triangle
    winding = np.zeros((count, count, count + 1), dtype=np.int64)
    np.add.at(winding, (column, row, below), upward)
    above = winding[..., ::-1].cumsum(-1)[..., ::-1][..., 1:]
    return torch.from_numpy(above.reshape(-1) > 0).to(axis.device)


def _columns(
    flat: Float[np.ndarray, "T 3 2"], count: int
) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "N"], Int[np.ndarray, "N"]]:
    """Return the lattice columns within the bounding box of each triangle: x index, y index, triangle index."""
    low = np.clip(np.ceil(flat.min(1)), 0, count).astype(np.int64)
    high = np.clip(np.floor(flat.max(1)) + 1, 0, count).astype(np.int64)
    size = np.maximum(high - low, 0)
    boxes = size[:, 0] * size[:, 1]
    owner = np.repeat(np.arange(len(flat)), boxes)
    local = np.arange(len(owner)) - np.repeat(boxes.cumsum() - boxes, boxes)
    width = size[owner, 1]
    return low[owner, 0] + local // width, low[owner, 1] + local % width, owner


def _plane_weights(flat: Float[np.ndarray, "N 3 2"], at: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 3"]:
    """Return barycentric weights of points in the xy plane; -1 where the triangle's projection has no area."""
    a, b, c = flat.transpose(1, 0, 2)
    area = _cross(b - a, c - a)
    safe = np.where(area == 0.0, 1.0, area)
    second, third = _cross(at - a, c - a) / safe, _cross(b - a, at - a) / safe
    return np.where((area == 0.0)[:, None], -1.0, np.stack([1.0 - second - third, second, third], -1))


def _cross(first: Float[np.ndarray, "N 2"], second: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N"]:
    product: np.ndarray = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return product
