"""Hash encoding in Warp: the operators of `bozzetto.kernels.operators.hash_encode`."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.operators.hash_encode import fake_gather, fake_pull, hash_operators, spec_of
from bozzetto.kernels.operators.operator import WARP
from bozzetto.kernels.warp.hash_kernels import hash_kernels
from bozzetto.kernels.warp.runtime import launch
from bozzetto.kernels.warp.sums import largest, start

MOST_NUMBERS = 2**31 - 1
"""In a table; indices have 31 bits."""


def hash_encode(points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec) -> Float[Tensor, "N LF"]:
    """Warp form of `bozzetto.kernels.ref.hash_encode.hash_encode`, up to second derivatives; a transposed view.

    Raises:
        ValueError: the table has too many numbers for the indices of the kernels.
    """
    if table.numel() > MOST_NUMBERS:
        raise ValueError(f"table: Warp's kernels take at most {MOST_NUMBERS} numbers, got {table.numel()}")
    return OPERATORS.gather(points.t().contiguous(), None, table, spec.text).t()


def _run_gather(points: Tensor, tangent: Tensor | None, table: Tensor, grid: str) -> Tensor:
    spec, encoded = spec_of(grid), fake_gather(points, tangent, table, grid)
    known = (points.contiguous(), _contiguous(tangent), table.contiguous())
    kernel = hash_kernels(spec.features).gather
    launch(kernel, (spec.levels, points.shape[1]), *_levels(grid, points.device), _smooth(spec), *known, encoded)
    return encoded


def _run_scatter(points: Tensor, tangent: Tensor | None, grad: Tensor, also: Tensor | None, grid: str) -> Tensor:
    spec, count = spec_of(grid), points.shape[1]

    def bound() -> Tensor:
        """Weights are at most 1 and their slopes at most 1.5 cells per unit."""
        steepest = 1.5 * spec.table[-1].scale * 3.0 * largest(tangent) if tangent is not None else 1.0
        return largest(grad) * steepest + largest(also)

    sums = start(grad, spec.entry_count * spec.features, bound, 8 * count)
    known = (points.contiguous(), _contiguous(tangent), grad.contiguous(), _contiguous(also))
    kernel = hash_kernels(spec.features).scatter
    launch(kernel, (spec.levels, count), *_levels(grid, points.device), _smooth(spec), *known, *sums)
    return sums.result().view(spec.entry_count, spec.features)


def _run_pull(points: Tensor, tangent: Tensor | None, table: Tensor, grad: Tensor, grid: str) -> Tensor:
    spec, to_points = spec_of(grid), fake_pull(points, tangent, table, grad, grid)
    known = (points.contiguous(), _contiguous(tangent), table.contiguous(), grad.contiguous())
    levels = _levels(grid, points.device)
    launch(hash_kernels(spec.features).pull, points.shape[1], *levels, _smooth(spec), *known, to_points)
    return to_points


@functools.lru_cache(maxsize=64)
def _levels(grid: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the scales of a grid's levels, and their rows (resolution, offset, size, hashed)."""
    table = spec_of(grid).table
    rows = [[level.resolution, level.offset, level.size, int(level.hashed)] for level in table]
    return torch.tensor([level.scale for level in table], device=device), torch.tensor(rows, device=device).int()


def _smooth(spec: GridSpec) -> int:
    return int(spec.interpolation == "smoothstep")


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


OPERATORS = hash_operators(WARP, _run_gather, _run_scatter, _run_pull)
