"""Finding the outer side of a mesh's faces, and turning those that look inward."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from bozzetto.kernels import api
from bozzetto.types import Mesh

SIZE = 128
"""Pixels a side of the pictures in which faces are counted."""
DIRECTIONS = [d for d in itertools.product((-1.0, 0.0, 1.0), repeat=3) if any(d)]
"""Toward the 26 cameras around the mesh."""
MOSTLY = 0.6
"""A patch is turned if this share of what is seen of it is its back. A flat sheet shows both sides alike, and stays."""
LEAST_SEEN = 4
"""Pixels, of all pictures together, from which a patch counts as seen."""


def turned_outward(mesh: Mesh) -> tuple[Mesh, int]:
    """The mesh with faces turned that look inward, and how many were.

    A patch is what hangs together by edges that two faces walk in opposite directions. A single closed patch is turned
    if its signed volume is negative. Others are looked at from all around, without culling: those of which mostly backs
    are seen are turned. What is not seen, such as the wall of a cavity, follows if all that is seen was turned.
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
    return Mesh(mesh.vertices, torch.from_numpy(np.ascontiguousarray(result))), int(flipped.sum())


def patches(faces: Int[np.ndarray, "T 3"], vertex_count: int) -> tuple[Int[np.ndarray, "T"], Bool[np.ndarray, "P"]]:
    """The number of each face's patch, and which patches are closed: each edge is walked once in both directions."""
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


def _volumes(mesh: Mesh) -> Float[np.ndarray, "T"]:
    """The share of each face in six times the signed volume."""
    a, b, c = mesh.vertices.double()[mesh.faces].unbind(1)
    volumes: np.ndarray = (a * torch.linalg.cross(b, c)).sum(-1).numpy()
    return volumes


def _mostly_backs(mesh: Mesh, patch: Int[np.ndarray, "T"], count: int) -> Bool[np.ndarray, "P"]:
    """Mark the patches that show mostly their backs."""
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


def _seen(mesh: Mesh, toward: Float[Tensor, "3"]) -> Int[np.ndarray, "S"]:
    """The number of the face at each covered pixel, by parallel projection from far away along a unit vector."""
    helper = torch.eye(3, device=toward.device)[int(toward.abs().argmin())]
    right = torch.nn.functional.normalize(torch.linalg.cross(helper, toward), dim=0)
    axes = torch.stack([right, torch.linalg.cross(toward, right), -toward])
    middle = 0.5 * (mesh.vertices.amin(0) + mesh.vertices.amax(0))
    local = (mesh.vertices - middle) @ axes.T
    clip = torch.cat([local / local.abs().max(), torch.ones_like(local[:, :1])], dim=1)
    rast, _ = api.rasterize(clip, mesh.faces.int(), (SIZE, SIZE))
    number = rast[..., 3].reshape(-1)
    return number[number > 0].long().numpy() - 1
