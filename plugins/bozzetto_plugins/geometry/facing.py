"""Orientation of mesh faces: detects and flips those that face inward."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from bozzetto.kernels import api
from bozzetto.types import TriangleMesh

SIZE = 128
"""Side of the images in which visible faces are counted, pixels."""
DIRECTIONS = [d for d in itertools.product((-1.0, 0.0, 1.0), repeat=3) if any(d)]
"""Directions toward the 26 cameras around the mesh."""
MOSTLY = 0.6
"""Share of back-face pixels above which a patch is flipped. A flat sheet shows both sides equally and is kept."""
LEAST_SEEN = 4
"""Minimum number of pixels, over all images, for a patch to count as visible."""


def turned_outward(mesh: TriangleMesh) -> tuple[TriangleMesh, int]:
    """Return the mesh with inward faces flipped, and the number of flipped faces.

    A patch is a set of faces connected by consistently oriented edges. A single closed patch is flipped if its signed
    volume is negative. Other patches are rendered from all around without culling and flipped if mostly back-faces are
    visible. Invisible patches, such as the walls of cavities, are flipped if all visible ones are.
    """
    faces = mesh.faces.numpy()
    patch, closed = patches(faces, len(mesh.vertices))
    volume = np.bincount(patch, _volumes(mesh))
    doubtful = ~(closed & (volume > 0.0))
    if not doubtful.any():
        return mesh, 0
    one_solid = len(closed) == 1 and closed[0]
    turn = volume < 0.0 if one_solid else doubtful & _mostly_backs(mesh, patch, len(closed))
    flipped = turn[patch]
    if not flipped.any():
        return mesh, 0
    result = np.where(flipped[:, None], faces[:, ::-1], faces)
    return TriangleMesh(mesh.vertices, torch.from_numpy(np.ascontiguousarray(result))), int(flipped.sum())


def patches(faces: Int[np.ndarray, "T 3"], vertex_count: int) -> tuple[Int[np.ndarray, "T"], Bool[np.ndarray, "P"]]:
    """Return the patch index of each face, and which patches are closed: each edge is used once in each direction."""
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    key = np.minimum(start, end) * vertex_count + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    key, forward, owner = key[order], (start < end)[order], order // 3
    same = key[1:] == key[:-1]
    before, after = np.append(False, same[:-1]), np.append(same[1:], False)
    joint = np.flatnonzero(same & ~before & ~after & (forward[1:] != forward[:-1]))
    first, second = owner[joint], owner[joint + 1]
    links = coo_matrix((np.ones(len(joint), dtype=bool), (first, second)), shape=(len(faces), len(faces)))
    count, patch = connected_components(links, directed=False)
    joined = np.bincount(patch[first], minlength=count)
    return patch, 2 * joined == 3 * np.bincount(patch, minlength=count)


def _volumes(mesh: TriangleMesh) -> Float[np.ndarray, "T"]:
    """Return six times the signed volume contributed by each face."""
    a, b, c = mesh.vertices.double()[mesh.faces].unbind(1)
    volumes: np.ndarray = (a * torch.linalg.cross(b, c)).sum(-1).numpy()
    return volumes


def _mostly_backs(mesh: TriangleMesh, patch: Int[np.ndarray, "T"], count: int) -> Bool[np.ndarray, "P"]:
    """Return which patches show mostly their back-faces."""
    front, back = np.zeros(count), np.zeros(count)
    corners = mesh.vertices[mesh.faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for direction in DIRECTIONS:
        toward = torch.nn.functional.normalize(corners.new_tensor(direction), dim=0)
        pixels = np.bincount(_seen(mesh, toward), minlength=len(patch))
        looks_here = (normal @ toward).numpy() > 0.0
        front += np.bincount(patch, pixels * looks_here, minlength=count)
        back += np.bincount(patch, pixels * ~looks_here, minlength=count)
    seen = front + back >= LEAST_SEEN
    turn = seen & (back > MOSTLY * (front + back))
    return turn | ~seen if turn[seen].all() and seen.any() else turn


def _seen(mesh: TriangleMesh, toward: Float[Tensor, "3"]) -> Int[np.ndarray, "S"]:
    """Return the index of the visible face of each covered pixel, in a parallel projection along a unit vector."""
    helper = torch.eye(3, device=toward.device)[int(toward.abs().argmin())]
    right = torch.nn.functional.normalize(torch.linalg.cross(helper, toward), dim=0)
    axes = torch.stack([right, torch.linalg.cross(toward, right), -toward])
    middle = 0.5 * (mesh.vertices.amin(0) + mesh.vertices.amax(0))
    local = (mesh.vertices - middle) @ axes.T
    clip = torch.cat([local / local.abs().max(), torch.ones_like(local[:, :1])], dim=1)
    rast, _ = api.rasterize(clip, mesh.faces.int(), (SIZE, SIZE))
    number = rast[..., 3].reshape(-1)
    return number[number > 0].long().numpy() - 1
