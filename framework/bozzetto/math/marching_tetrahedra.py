"""Marching tetrahedra: signed distances at tetrahedron vertices to a closed triangle mesh, differentiable in both.

DMTet (Shen et al. 2021, "Deep Marching Tetrahedra", sec. 3.1.2): the surface cuts each edge with a sign change where
the linear interpolation of the distances is zero.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bozzetto.math.constants import constant

__all__ = ["EDGES", "Cut", "cut_of", "cut_triangles", "inside_bits", "marching_tetrahedra", "padded_faces"]

EDGES = tuple(combinations(range(4), 2))
"""Vertex pairs of the six edges of a tetrahedron."""


@functools.cache
def cut_triangles() -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """Return the triangles of the cut as indices into `EDGES`, by the bit set of inside vertices.

    In a tetrahedron (p, q, r, s) of positive volume with only p inside, the cut runs through pq, pr, ps, in this order
    counter-clockwise seen from q, r, s. With p and q inside it is the quadrangle pr, ps, qs, qr. Every other case is
    one of these after an even permutation, which keeps the volume positive, or one with inside and outside swapped.
    """
    table: list[tuple[tuple[int, int, int], ...]] = []
    for bits in range(16):
        inside = [vertex for vertex in range(4) if bits >> vertex & 1]
        if len(inside) in (0, 4):
            table.append(())
            continue
        alone = inside if len(inside) < 3 else [vertex for vertex in range(4) if vertex not in inside]
        p, q, r, s = next(o for o in permutations(range(4)) if set(o[: len(alone)]) == set(alone) and _is_even(o))
        corners = [(p, q), (p, r), (p, s)] if len(alone) == 1 else [(p, r), (p, s), (q, s), (q, r)]
        around = [EDGES.index((min(pair), max(pair))) for pair in corners]
        if len(inside) == 3:
            around.reverse()
        table.append(tuple((around[0], b, c) for b, c in pairwise(around[1:])))
    return tuple(table)


def _is_even(order: tuple[int, ...]) -> bool:
    return sum(a > b for a, b in combinations(order, 2)) % 2 == 0


def marching_tetrahedra(
    positions: Float[Tensor, "P 3"], sdf: Float[Tensor, "P"], tetrahedra: Int[Tensor, "T 4"]
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Extract the surface where `sdf` changes its sign: negative is inside, zero counts as outside.

    Args:
        tetrahedra: tetrahedra of positive volume that cross the surface. The mesh is closed if all crossed tetrahedra
            share whole faces with their neighbours.

    Returns:
        Vertices, differentiable in `positions` and `sdf`, and faces counter-clockwise from outside. May be empty.
    """
    cut = cut_of(sdf.detach() < 0.0, tetrahedra)
    return cut.vertices(positions, sdf), cut.faces


@dataclass(frozen=True)
class Cut:
    """Which edges of a grid the surface cuts, and the triangles between them; depends on the signs alone."""

    start: Int[Tensor, "V"]
    """Vertex of the grid with the smaller index, of each cut edge."""
    end: Int[Tensor, "V"]
    faces: Int[Tensor, "F 3"]
    """Counter-clockwise from outside."""

    def vertices(self, positions: Float[Tensor, "P 3"], sdf: Float[Tensor, "P"]) -> Float[Tensor, "V 3"]:
        """Return the point of each edge where the linear interpolation of the distances is zero; differentiable."""
        a, b = self.start, self.end
        share = (sdf[a] / (sdf[a] - sdf[b]))[:, None]
        return torch.lerp(positions[a], positions[b], share)


def cut_of(inside: Bool[Tensor, "P"], tetrahedra: Int[Tensor, "T 4"]) -> Cut:
    """Return the cut between inside and outside. Waits for an accelerator: see `bozzetto.math.padded_cut`.

    Args:
        tetrahedra: see `marching_tetrahedra`.
    """
    device = inside.device
    ends = tetrahedra[:, constant(EDGES, device, torch.long)].sort(dim=-1).values  # "T 6 2"
    at = (inside[ends[..., 0]] != inside[ends[..., 1]]).nonzero(as_tuple=True)
    key = ends[..., 0] * len(inside) + ends[..., 1]
    distinct, number = torch.unique(key[at], return_inverse=True)
    vertex_on = torch.zeros_like(key)
    vertex_on[at] = number

    bits = inside_bits(inside, tetrahedra)
    order = bits.argsort(stable=True)  # tetrahedra cut alike are together
    every, used = padded_faces(bits[order], vertex_on[order])
    faces = every[used]
    return Cut(torch.div(distinct, len(inside), rounding_mode="floor"), distinct % len(inside), faces)


def inside_bits(inside: Bool[Tensor, "P"], tetrahedra: Int[Tensor, "T 4"]) -> Int[Tensor, "T"]:
    """Return the bit set of the inside vertices of each tetrahedron."""
    return (inside[tetrahedra] * constant((1, 2, 4, 8), inside.device, torch.long)).sum(dim=1)


def padded_faces(
    bits: Int[Tensor, "T"], vertex_on: Int[Tensor, "T 6"]
) -> tuple[Int[Tensor, "T 2 3"], Bool[Tensor, "T 2"]]:
    """Return two triangles of each tetrahedron, and which of them there are.

    Args:
        bits: see `inside_bits`.
        vertex_on: number of the surface's vertex on each edge.
    """
    corners, used = _padded_triangles()
    rows = constant(corners, bits.device, torch.long)[bits]
    return vertex_on[:, None].expand(-1, 2, -1).gather(2, rows), constant(used, bits.device, torch.bool)[bits]


@functools.cache
def _padded_triangles() -> tuple[tuple[tuple[tuple[int, int, int], ...], ...], tuple[tuple[bool, ...], ...]]:
    """Return `cut_triangles` with two triangles in every case, and which of them there are."""
    table = cut_triangles()
    padded = tuple((*triangles, *((0, 0, 0),) * (2 - len(triangles))) for triangles in table)
    return padded, tuple((len(triangles) > 0, len(triangles) > 1) for triangles in table)
