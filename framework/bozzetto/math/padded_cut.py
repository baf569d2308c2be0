"""Cut of a tetrahedral grid by its surface, of which an accelerator tells the sizes once.

`bozzetto.math.marching_tetrahedra.cut_of` needs the number of crossed squares, of crossed tetrahedra, of cut edges and
of triangles one after the other, and the host waits for each. Here rows are padded to a bound of the crossed squares,
all numbers are read together, and only then are edges and triangles brought to their sizes. The result is the same to
the order of its rows, whatever the bound is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from bozzetto.math.constants import constant
from bozzetto.math.marching_tetrahedra import EDGES, Cut, inside_bits, padded_faces
from bozzetto.math.tetrahedral_grid import TetrahedralGrid

__all__ = ["PaddedCut", "compacted", "padded_cut"]

SIDES = 4
"""Tetrahedra around a square."""


@dataclass(frozen=True)
class PaddedCut:
    """Cut, and the number of squares that it crosses."""

    cut: Cut
    crossed: int


def padded_cut(inside: Bool[Tensor, "P"], grid: TetrahedralGrid, bound: int) -> PaddedCut:
    """Return `cut_of(inside, grid.crossed(inside))`. Waits for an accelerator once if the bound suffices, else twice.

    Args:
        bound: of the crossed squares, at least 1; memory grows with it.
    """
    tetrahedra, axis, valid, total = grid.crossed_within(inside, bound)
    every, valid = tetrahedra.flatten(0, 1), valid.repeat(SIDES)  # all first sides, then all second
    sorted_keys, first, vertex_on = _numbered_edges(inside, every, valid)
    bits = torch.where(valid, inside_bits(inside, every), 0)
    side = torch.arange(SIDES, device=inside.device).repeat_interleave(bound, output_size=SIDES * bound)
    rank = (bits * 3 + axis.repeat(SIDES)) * SIDES + side  # the order of `crossed` and `cut_of`
    order = rank.argsort(stable=True)
    faces, there = (rows.flatten(0, 1) for rows in padded_faces(bits[order], vertex_on[order]))
    crossed, vertex_count, face_count = torch.stack([total, first.sum(), there.sum()]).tolist()  # waits, once
    if crossed > bound:
        return padded_cut(inside, grid, crossed)
    edge = sorted_keys[compacted(first, vertex_count)]
    start = torch.div(edge, len(inside), rounding_mode="floor")
    return PaddedCut(Cut(start, edge % len(inside), faces[compacted(there, face_count)]), crossed)


def compacted(mask: Bool[Tensor, "N"], size: int) -> Int[Tensor, "M"]:
    """Return the indices of the `size` true values in ascending order, without waiting for an accelerator."""
    return torch.searchsorted(mask.cumsum(0), torch.arange(1, size + 1, device=mask.device))


def _numbered_edges(
    inside: Bool[Tensor, "P"], tetrahedra: Int[Tensor, "T 4"], valid: Bool[Tensor, "T"]
) -> tuple[Int[Tensor, "E"], Bool[Tensor, "E"], Int[Tensor, "T 6"]]:
    """Return the keys of cut edges in ascending order, which of them are first of their kind, and each one's number.

    With six edges of each tetrahedron; those that are not cut come last, with a key of their own.
    """
    count = len(inside)
    ends = tetrahedra[:, constant(EDGES, inside.device, torch.long)].sort(dim=-1).values
    cut = (inside[ends[..., 0]] != inside[ends[..., 1]]) & valid[:, None]
    none = count * count
    keys, order = torch.where(cut, ends[..., 0] * count + ends[..., 1], none).flatten().sort()
    first = (keys < none) & torch.cat([keys[:1] < none, keys[1:] != keys[:-1]])
    number = torch.zeros_like(order).scatter_(0, order, first.cumsum(0) - 1)
    return keys, first, number.view(-1, len(EDGES))
