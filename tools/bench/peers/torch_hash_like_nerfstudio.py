"""A torch form like nerfstudio's: all levels hashed, all levels at once, trilinear of eight corners.

Written for this comparison from nerfstudio's description of its `HashEncoding`; none of its code is here. It does the
same work: eight rows of every level for every point, whatever the level's size.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from bozzetto.bench.candidates import Candidate
from bozzetto.bench.cases import HashProblem

KERNEL = "hash_encode"
LABEL = "a torch form like nerfstudio's"
NEEDS = ""
UNLESS = "nerfstudio.field_components.encodings"

PRIMES = (1, 2654435761, 805459861)


def make(problem: HashProblem) -> Candidate:
    """A table of its own: it has a hash table for each level, however coarse."""
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
        for axis in (2, 1, 0):  # the last one runs fastest through the corners
            share = far[..., axis, None]
            values = [low + share * (high - low) for low, high in zip(values[::2], values[1::2], strict=True)]
        return values[0].flatten(1)

    return Candidate(run, (table,))
