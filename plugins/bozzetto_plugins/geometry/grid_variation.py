"""Total variation of the parameters of a hash grid."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.kernels.api import GridSpec


def grid_variation(table: Float[Tensor, "P F"], grid: GridSpec) -> Float[Tensor, ""]:
    """Return the mean squared difference between neighbouring vertices, over the densely stored levels of `grid`.

    Hashed levels are excluded: unrelated vertices share their rows, so smoothing would mix them.
    """
    dense = [level for level in grid.table if not level.hashed]
    sizes = [level.size for level in dense]  # dense levels are the coarsest and are stored first
    total = table.new_zeros(())
    pairs = 0
    for level, rows in zip(dense, table[: sum(sizes)].split(sizes), strict=True):
        side = level.resolution
        vertices = rows[: side**3].view(side, side, side, -1)
        for axis in range(3):
            difference = vertices.diff(dim=axis)
            total = total + difference.square().sum()
            pairs += difference.numel()
    return total / max(pairs, 1)
