"""Triangle meshes: normals, edges, and the regularisers that read them. All finite, gradients too, with no faces.

Sources: DMTet and nvdiffrec for the use of these terms; Desbrun et al. 1999 for the umbrella Laplacian.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.normals import safe_normalize


def scaled_face_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "T 3"]:
    """Normals of counter-clockwise faces, twice their area long."""
    a, b, c = vertices[faces].unbind(1)
    normals: Tensor = torch.linalg.cross(b - a, c - a)
    return normals


def vertex_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "V 3"]:
    """Unit sum of the faces' normals around each vertex, weighted by area; 0 where they cancel or there are none."""
    scaled = scaled_face_normals(vertices, faces)
    total = torch.zeros_like(vertices).index_add(0, faces.reshape(-1), scaled.repeat_interleave(3, dim=0))
    return safe_normalize(total, smallest=1e-12)


def unique_edges(faces: Int[Tensor, "T 3"]) -> Int[Tensor, "E 2"]:
    """Each edge once, the smaller vertex number first, in ascending order."""
    key, vertex_count = _half_edges(faces)
    distinct = torch.unique_consecutive(key.sort().values)
    return torch.stack([torch.div(distinct, vertex_count, rounding_mode="floor"), distinct % vertex_count], dim=1)


def adjacent_faces(faces: Int[Tensor, "T 3"]) -> Int[Tensor, "A 2"]:
    """Pairs of faces with a common edge; edges of one face, or of more than two, are left out."""
    key, order = _half_edges(faces)[0].sort(stable=True)
    _, edge, count = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
    return (order[count[edge] == 2] % max(len(faces), 1)).view(-1, 2)


def _half_edges(faces: Int[Tensor, "T 3"]) -> tuple[Int[Tensor, "H"], int]:
    """One number for each side of every face, alike for both faces at an edge: smaller vertex * n + larger, and n.

    All first sides, then all second, then all third. Numbers sort far faster than rows do.
    """
    start, end = faces.T.reshape(-1), faces.roll(-1, dims=1).T.reshape(-1)
    vertex_count = int(faces.max()) + 1 if len(faces) else 1
    return torch.minimum(start, end) * vertex_count + torch.maximum(start, end), vertex_count


def normal_consistency(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, ""]:
    """mean (1 - cos) of the angle between the normals of faces that share an edge; in [0, 2], 0 for a plane."""
    normal = safe_normalize(scaled_face_normals(vertices, faces), smallest=1e-12)
    pairs = adjacent_faces(faces)
    return (1.0 - (normal[pairs[:, 0]] * normal[pairs[:, 1]]).sum(dim=-1)).sum() / max(len(pairs), 1)


def laplacian(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, "V 3"]:
    """The mean of each vertex's neighbours less the vertex (umbrella operator); 0 for a vertex without neighbours."""
    edges = unique_edges(faces)
    ends = torch.cat([edges, edges.flip(1)])
    count = torch.bincount(ends[:, 0], minlength=len(vertices))[:, None]
    total = torch.zeros_like(vertices).index_add(0, ends[:, 0], vertices[ends[:, 1]])
    return torch.where(count > 0, total / count.clamp(min=1) - vertices, 0.0)


def laplacian_smoothness(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, ""]:
    """Mean squared length of the Laplacian over the mean squared length of an edge: a number without units.

    0 where every vertex is the mean of its neighbours. Does not change with the size or the resolution of the mesh.
    """
    scale = mean_squared_edge(vertices, faces).detach()
    moved = laplacian(vertices, faces).square().sum(dim=-1)
    return moved.sum() / max(len(vertices), 1) / scale.clamp(min=torch.finfo(vertices.dtype).tiny)


def mean_squared_edge(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "T 3"]) -> Float[Tensor, ""]:
    """Mean squared length of the edges, world units squared; 0 if there are none."""
    edges = unique_edges(faces)
    return (vertices[edges[:, 0]] - vertices[edges[:, 1]]).square().sum() / max(len(edges), 1)


def eikonal(gradient: Float[Tensor, "S 3"]) -> Float[Tensor, ""]:
    """mean (|grad sdf| - 1)^2: a signed distance changes by 1 per unit of length (Gropp et al. 2020, IGR, eq. 2).

    The length of a vanishing gradient has no derivative; it is taken as 0.
    """
    squared = gradient.square().sum(dim=-1)
    usable = squared > 0.0
    length = torch.where(usable, torch.where(usable, squared, 1.0).sqrt(), 0.0)
    return (length - 1.0).square().sum() / max(len(gradient), 1)
