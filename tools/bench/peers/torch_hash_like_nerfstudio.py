"""Torch hash encoding in the style of nerfstudio: all levels hashed and computed at once, trilinear interpolation.

Written for this comparison from nerfstudio's description of its `HashEncoding`; contains none of its code. It does the
same work: eight rows of every level for every point, whatever the level's size.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from bozzetto_bench.candidates import Candidate
from bozzetto_bench.cases import HashProblem

KERNEL = "hash_encode"
LABEL = "a torch form like nerfstudio's"
NEEDS = ""
UNLESS = "nerfstudio.field_components.encodings"

PRIMES = (1, 2654435761, 805459861)


def make(problem: HashProblem) -> Candidate:
    """Return the candidate with its own table, which has a hash table per level, however coarse."""
    spec = problem.spec
    size = 1 << spec.log2_table_size
    table = nn.Parameter(torch.randn(spec.levels * size, spec.features, generator=torch.Generator().manual_seed(0)))
    scale = torch.tensor([float(level.resolution) for level in spec.table])[:, None]
    first = torch.arange(spec.levels) * size
    primes = torch.tensor(PRIMES)

    def run(points: Tensor) -> Tensor:
        position = points[:, None] * scale
        cell = position.detach().floor()
        far = position - cell
        values = []
        for corner in itertools.product((0, 1), repeat=3):
            x, y, z = ((cell.long() + torch.tensor(corner)) * primes).unbind(-1)
            values.append(table[((x ^ y ^ z) % size) + first])
        for axis in (2, 1, 0):  # the last axis varies fastest over the corners
            share = far[..., axis, None]
            values = [low + share * (high - low) for low, high in zip(values[::2], values[1::2], strict=True)]
        return values[0].flatten(1)

    return Candidate(run, (table,))
