"""Triangle meshes: normals, edges and mesh regularisers. Values and gradients are finite even without faces.

Sources: DMTet and nvdiffrec for the use of these terms; Desbrun et al. 1999 for the umbrella Laplacian.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.normals import safe_normalize

__all__ = [
    "adjacent_faces",
    "eikonal",
    "laplacian",
    "laplacian_smoothness",
    "mean_squared_edge",
    "normal_consistency",
    "scaled_face_normals",
    "unique_edges",
    "vertex_normals",
]


KEY = 1 << 31
"""More than any vertex index: pairs of indices are keys of 62 bits, and the number of vertices need not be known."""


def scaled_face_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "T 3"]:
    """Return normals of counter-clockwise faces, with the length of twice their area."""
    a, b, c = vertices[faces].unbind(1)
    normals: Tensor = torch.linalg.cross(b - a, c - a)
    return normals


def vertex_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "V 3"]:
    """Return unit vertex normals, area-weighted over adjacent faces; 0 where they cancel or there are none."""
    scaled = scaled_face_normals(vertices, faces)
    total = torch.zeros_like(vertices).index_add(0, faces.reshape(-1), scaled.repeat_interleave(3, dim=0))
    return safe_normalize(total, smallest=1e-12)


def unique_edges(faces: Int[Tensor, "T 3"], closed: bool = False) -> Int[Tensor, "E 2"]:
    """Return each edge once, the smaller vertex index first, in ascending order.

    Args:
        closed: each edge is known to have two faces, so that their number is known, too: an accelerator need not be
            waited for. So it is for all functions here.
    """
    key, vertex_count = _half_edges(faces)
    ascending = key.sort().values
    distinct = ascending[::2] if closed else torch.unique_consecutive(ascending)
    return torch.stack([torch.div(distinct, vertex_count, rounding_mode="floor"), distinct % vertex_count], dim=1)


def adjacent_faces(faces: Int[Tensor, "T 3"], closed: bool = False) -> Int[Tensor, "A 2"]:
    """Return pairs of faces with a common edge, ignoring edges of one face or of more than two."""
    key, order = _half_edges(faces)[0].sort(stable=True)
    if closed:
        return (order % max(len(faces), 1)).view(-1, 2)
    _, edge, count = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
    return (order[count[edge] == 2] % max(len(faces), 1)).view(-1, 2)


def _half_edges(faces: Int[Tensor, "T 3"]) -> tuple[Int[Tensor, "H"], int]:
    """Return one key per face side, equal for both faces at an edge: smaller vertex * n + larger; and n.

    All first sides, then all second, then all third. Sorting scalar keys is far faster than sorting rows.
    """
    start, end = faces.T.reshape(-1), faces.roll(-1, dims=1).T.reshape(-1)
    return torch.minimum(start, end).long() * KEY + torch.maximum(start, end), KEY


def normal_consistency(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], closed: bool = False
) -> Float[Tensor, ""]:
    """Compute mean (1 - cos) of the angle between normals of faces that share an edge; in [0, 2], 0 for a plane."""
    normal = safe_normalize(scaled_face_normals(vertices, faces), smallest=1e-12)
    pairs = adjacent_faces(faces, closed)
    return (1.0 - (normal[pairs[:, 0]] * normal[pairs[:, 1]]).sum(dim=-1)).sum() / max(len(pairs), 1)


def laplacian(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], closed: bool = False) -> Float[Tensor, "V 3"]:
    """Compute the mean of each vertex's neighbours minus the vertex (umbrella operator); 0 without neighbours."""
    edges = unique_edges(faces, closed)
    ends = torch.cat([edges, edges.flip(1)])
    ones = torch.ones_like(ends[:, 0])
    count = ones.new_zeros(len(vertices)).index_add(0, ends[:, 0], ones)[:, None]  # bincount waits for an accelerator
    total = torch.zeros_like(vertices).index_add(0, ends[:, 0], vertices[ends[:, 1]])
    return torch.where(count > 0, total / count.clamp(min=1) - vertices, 0.0)


def laplacian_smoothness(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], closed: bool = False
) -> Float[Tensor, ""]:
    """Compute the mean squared Laplacian divided by the mean squared edge length; dimensionless.

    0 where every vertex is the mean of its neighbours. Invariant to the size and the resolution of the mesh.
    """
    scale = mean_squared_edge(vertices, faces, closed).detach()
    moved = laplacian(vertices, faces, closed).square().sum(dim=-1)
    return moved.sum() / max(len(vertices), 1) / scale.clamp(min=torch.finfo(vertices.dtype).tiny)


def mean_squared_edge(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"], closed: bool = False
) -> Float[Tensor, ""]:
    """Compute the mean squared edge length, world units squared; 0 without edges."""
    edges = unique_edges(faces, closed)
    return (vertices[edges[:, 0]] - vertices[edges[:, 1]]).square().sum() / max(len(edges), 1)


def eikonal(gradient: Float[Tensor, "S 3"]) -> Float[Tensor, ""]:
    """Compute mean (|grad sdf| - 1)^2; it is 0 for a signed distance field (Gropp et al. 2020, IGR, eq. 2).

    A zero gradient has length 0 without derivative.
    """
    squared = gradient.square().sum(dim=-1)
    usable = squared > 0.0
    length = torch.where(usable, torch.where(usable, squared, 1.0).sqrt(), 0.0)
    return (length - 1.0).square().sum() / max(len(gradient), 1)
