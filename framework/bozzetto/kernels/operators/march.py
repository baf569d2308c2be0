"""Operator of ray marching."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from bozzetto.kernels.operators.operator import operator

Parts = tuple[Tensor, Tensor, Tensor, Tensor]
"""The fields of `bozzetto.kernels.ref.march.Intervals`."""


@runtime_checkable
class March(Protocol):
    """Intervals along rays, as `bozzetto.kernels.ref.march.march`."""

    def __call__(
        self,
        origin: Tensor,
        direction: Tensor,
        radius: float,
        occupancy: Tensor,
        step_size: float,
        max_steps: int,
        jitter: Tensor | None,
    ) -> Parts:
        """Compute them."""


def fake_march(
    origin: Tensor,
    direction: Tensor,
    radius: float,
    occupancy: Tensor,
    step_size: float,
    max_steps: int,
    jitter: Tensor | None,
) -> Parts:
    """Return an empty result of `March`, whose size is known only with data."""
    samples = torch.library.get_ctx().new_dynamic_size()
    ray, offsets = (origin.new_empty(size, dtype=torch.int64) for size in (samples, origin.shape[0] + 1))
    return origin.new_empty(samples), origin.new_empty(samples), ray, offsets


def march_operator(space: str, run: March) -> March:
    """Register the operator of an implementation."""
    return operator(
        space,
        "march",
        "(Tensor origin, Tensor direction, float radius, Tensor occupancy, float step_size, int max_steps,"
        " Tensor? jitter) -> (Tensor t_start, Tensor t_end, Tensor ray, Tensor offsets)",
        run,
        fake_march,
    )


@runtime_checkable
class MarchWithin(Protocol):
    """Intervals in buffers of a given size, and the number found, as `bozzetto.kernels.ref.march.march_within`."""

    def __call__(
        self,
        bound: int,
        origin: Tensor,
        direction: Tensor,
        radius: float,
        occupancy: Tensor,
        step_size: float,
        max_steps: int,
        jitter: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Compute them."""


def fake_march_within(bound: int, origin: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return an empty result of `MarchWithin`."""
    ray, offsets, found = (origin.new_empty(size, dtype=torch.int64) for size in (bound, origin.shape[0] + 1, ()))
    return origin.new_empty(bound), origin.new_empty(bound), ray, offsets, found


def march_within_operator(space: str, run: MarchWithin) -> MarchWithin:
    """Register the operator of an implementation."""
    return operator(
        space,
        "march_within",
        "(SymInt bound, Tensor origin, Tensor direction, float radius, Tensor occupancy, float step_size,"
        " int max_steps, Tensor? jitter)"
        " -> (Tensor t_start, Tensor t_end, Tensor ray, Tensor offsets, Tensor found)",
        run,
        fake_march_within,
    )
