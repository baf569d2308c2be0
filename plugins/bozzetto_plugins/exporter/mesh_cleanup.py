"""Mesh clean-up after marching cubes: small components, smoothing, simplification."""

from __future__ import annotations

import fast_simplification
import numpy as np
import torch
import trimesh
from jaxtyping import Bool
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bozzetto.types import TriangleMesh

SHRINK, GROW = 0.5, 0.52
"""Taubin's lambda and mu, with 0 < 1/lambda - 1/mu < 0.1 (Taubin 1995, "A signal processing approach...")."""


def keep_large_components(mesh: TriangleMesh, min_share: float) -> tuple[TriangleMesh, int]:
    """Drop small connected components and the walls of closed cavities, which are invisible.

    Returns:
        The remaining mesh and the number of dropped components. The largest outer component is always kept.
    """
    vertices, faces = mesh.vertices.double().numpy(), mesh.faces.numpy()
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    links = coo_matrix((np.ones(len(edges), dtype=bool), tuple(edges.T)), shape=(len(vertices), len(vertices)))
    count, label_of_vertex = connected_components(links, directed=False)
    label = label_of_vertex[faces[:, 0]]
    a, b, c = vertices[faces].transpose(1, 0, 2)
    volume = np.bincount(label, (a * np.cross(b, c)).sum(-1) / 6.0, minlength=count)
    size = np.bincount(label, minlength=count)
    outer = volume > 0.0  # cavity walls face inward
    if not outer.any():
        outer[:] = True
    keep = outer & (size >= min_share * len(faces))
    keep[np.argmax(size * outer)] = True
    dropped = int(((size > 0) & ~keep).sum())
    return _with_faces(mesh, torch.from_numpy(keep[label])), dropped


def smooth(mesh: TriangleMesh, iterations: int) -> TriangleMesh:
    """Apply `iterations` rounds of Taubin smoothing, each one shrinking and one growing step."""
    if iterations == 0:
        return mesh
    surface = trimesh.Trimesh(mesh.vertices.double().numpy(), mesh.faces.numpy(), process=False)
    trimesh.smoothing.filter_taubin(surface, lamb=SHRINK, nu=GROW, iterations=2 * iterations)
    return TriangleMesh(torch.from_numpy(np.asarray(surface.vertices, dtype=np.float32)), mesh.faces)


def simplify(mesh: TriangleMesh, max_faces: int) -> TriangleMesh:
    """Simplify to `max_faces` by quadric edge collapse (Garland and Heckbert 1997); drops degenerate triangles."""
    vertices, faces = mesh.vertices.numpy(), mesh.faces.numpy()
    if len(faces) > max_faces:
        vertices, faces = fast_simplification.simplify(vertices, faces.astype(np.int32), target_count=max_faces)
    reduced = TriangleMesh(torch.from_numpy(vertices.astype(np.float32)), torch.from_numpy(faces.astype(np.int64)))
    a, b, c = reduced.vertices[reduced.faces].double().unbind(1)
    return _with_faces(reduced, torch.linalg.cross(b - a, c - a).norm(dim=-1) > 0.0)


def _with_faces(mesh: TriangleMesh, keep: Bool[torch.Tensor, "T"]) -> TriangleMesh:
    """Return the chosen faces and the vertices they use."""
    used, faces = torch.unique(mesh.faces[keep], return_inverse=True)
    return TriangleMesh(mesh.vertices[used], faces.reshape(-1, 3))
