"""Properties of triangle meshes: normals, volume, watertightness."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from bozzetto.types import TriangleMesh


def weld(mesh: TriangleMesh) -> tuple[Float[Tensor, "W 3"], Int[Tensor, "V"]]:
    """Merge vertices split at UV seams; return the distinct positions, and the position index of each vertex."""
    positions, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    return positions, index


def vertex_normals(mesh: TriangleMesh) -> Float[Tensor, "V 3"]:
    """Return unit normals, averaged by area over the faces at each position; equal on both sides of a seam."""
    positions, index = weld(mesh)
    a, b, c = mesh.vertices[mesh.faces].double().unbind(1)
    face_normal = torch.linalg.cross(b - a, c - a)  # its length is twice the face's area
    total = torch.zeros_like(positions, dtype=torch.float64)
    total.index_add_(0, index[mesh.faces].T.reshape(-1), face_normal.repeat(3, 1))
    length = total.norm(dim=-1, keepdim=True)
    upward = total.new_tensor([0.0, 0.0, 1.0])
    unit = torch.where(length > 0.0, normalize(total, dim=-1, eps=1e-300), upward)  # normals of a fold cancel out
    return unit.float()[index]


def signed_volume(mesh: TriangleMesh) -> float:
    """Return the enclosed volume, world units cubed, by the divergence theorem; positive if faces look outward."""
    a, b, c = mesh.vertices[mesh.faces].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6.0)


def is_watertight(mesh: TriangleMesh) -> bool:
    """Return whether every edge is used equally often in both directions, with seams merged."""
    positions, index = weld(mesh)
    corners = index[mesh.faces]
    start, end = corners.reshape(-1), corners.roll(-1, dims=1).reshape(-1)
    forward = (start * len(positions) + end).sort().values
    backward = (end * len(positions) + start).sort().values
    return bool(torch.equal(forward, backward))
