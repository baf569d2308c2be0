"""Sums that many threads add to: by floating-point atomics, or in fixed point with the same bits in every order.

Additions of integers can be reordered, those of floating-point numbers cannot. The unit of the fixed point is chosen
on the device from a bound of the summands, so that no sum overflows 62 bits: with a million summands it is 2^-42 of the
bound. A bound that is infinite or not a number makes all sums so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, no_type_check

import torch
import warp as wp
from torch import Tensor

from bozzetto.kernels.settings import current

BITS = 62
"""Bits of a sum, without the sign and one for rounding."""


class Sums(NamedTuple):
    """Sums being added up: the arguments of a kernel that calls `add`."""

    fast: Tensor
    """float32 "K"."""
    exact: Tensor | None
    """int64 "K"; None: sums are in `fast`."""
    per_unit: Tensor | None
    """float64 "1": units per 1."""

    def result(self) -> Tensor:
        """Return the sums, float32 "K"."""
        if self.exact is None or self.per_unit is None:
            return self.fast
        return (self.exact.double() / self.per_unit).to(self.fast.dtype)


def start(like: Tensor, size: int, bound: Callable[[], Tensor], summands: int) -> Sums:
    """Return `size` sums of 0, fast or deterministic as `bozzetto.kernels.settings` says.

    Args:
        like: tensor of the device and type of the sums.
        bound: returns the largest magnitude that a summand may have, one element; not called if sums are fast.
        summands: no sum has more.
    """
    if not current().deterministic:
        return Sums(like.new_zeros(size), None, None)
    largest = bound().double().reshape(1).to(like.device)
    room = BITS - math.ceil(math.log2(max(summands, 1) + 1))
    per_unit = torch.exp2(room - largest.clamp(min=1e-60).log2().ceil())
    per_unit = torch.where(largest.isfinite(), per_unit, torch.nan)
    exact = torch.zeros(size, dtype=torch.int64, device=like.device)
    return Sums(like.new_empty(size), exact, per_unit)


def largest(tensor: Tensor | None) -> Tensor:
    """Return the largest magnitude of a tensor, 0 if there is none; NaN and infinity stay so."""
    if tensor is None or tensor.numel() == 0:
        return torch.zeros(())
    return tensor.abs().amax()


@wp.func
@no_type_check
def add(
    fast: wp.array(dtype=float),
    exact: wp.array(dtype=wp.int64),
    per_unit: wp.array(dtype=wp.float64),
    at: int,
    x: float,
):
    """Add x to the sum at an index."""
    if exact.shape[0] > 0:
        wp.atomic_add(exact, at, wp.int64(wp.float64(x) * per_unit[0]))
    else:
        wp.atomic_add(fast, at, x)
