"""Operators of the hash encoding with first and second derivatives.

Three operators are each other's derivatives, so that autograd can chain them:
`gather` (points, table -> encoded), `scatter` (its transpose: gradient to the table), `pull` (gradient to the points).
With a tangent, their interpolation weights become directional derivatives, which yields the derivatives of `pull`. All
per-point tensors are feature-major: points and tangents "3 N", encoded points and gradients "LF N".
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor
from torch.library import register_autograd

from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.operators.operator import KernelError, operator


@runtime_checkable
class Gather(Protocol):
    """Encoded points "LF N" of points "3 N", or with a tangent "3 N", their derivative along it."""

    def __call__(self, points: Tensor, tangent: Tensor | None, table: Tensor, grid: str) -> Tensor:
        """Compute it; `grid` is the `text` of a `GridSpec`."""


@runtime_checkable
class Scatter(Protocol):
    """Gradient to the table of grad "LF N": the transpose of `Gather`; `also` adds that without the tangent."""

    def __call__(self, points: Tensor, tangent: Tensor | None, grad: Tensor, also: Tensor | None, grid: str) -> Tensor:
        """Compute it; `grid` is the `text` of a `GridSpec`."""


@runtime_checkable
class Pull(Protocol):
    """Gradient "3 N" to the points of <grad, encoded>, or of its derivative along a tangent."""

    def __call__(self, points: Tensor, tangent: Tensor | None, table: Tensor, grad: Tensor, grid: str) -> Tensor:
        """Compute it; `grid` is the `text` of a `GridSpec`."""


class HashOperators(NamedTuple):
    """The three operators of one implementation."""

    gather: Gather
    scatter: Scatter
    pull: Pull


@functools.lru_cache(maxsize=32)
def spec_of(grid: str) -> GridSpec:
    """Return the grid of a text."""
    return GridSpec.from_text(grid)


def fake_gather(points: Tensor, tangent: Tensor | None, table: Tensor, grid: str) -> Tensor:
    """Return an empty result of `Gather`."""
    return table.new_empty(spec_of(grid).feature_count, points.shape[1])


def fake_scatter(points: Tensor, tangent: Tensor | None, grad: Tensor, also: Tensor | None, grid: str) -> Tensor:
    """Return an empty result of `Scatter`."""
    spec = spec_of(grid)
    return grad.new_empty(spec.entry_count, spec.features)


def fake_pull(points: Tensor, tangent: Tensor | None, table: Tensor, grad: Tensor, grid: str) -> Tensor:
    """Return an empty result of `Pull`."""
    return points.new_empty(3, points.shape[1])


def hash_operators(space: str, run_gather: Gather, run_scatter: Scatter, run_pull: Pull) -> HashOperators:
    """Register the operators of an implementation, and their derivatives."""
    gather = operator(
        space, "hash_gather", "(Tensor points, Tensor? tangent, Tensor table, str grid) -> Tensor",
        run_gather, fake_gather,
    )  # fmt: skip
    scatter = operator(
        space, "hash_scatter", "(Tensor points, Tensor? tangent, Tensor grad, Tensor? also, str grid) -> Tensor",
        run_scatter, fake_scatter,
    )  # fmt: skip
    pull = operator(
        space, "hash_pull", "(Tensor points, Tensor? tangent, Tensor table, Tensor grad, str grid) -> Tensor",
        run_pull, fake_pull,
    )  # fmt: skip

    def gather_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        points, table = _kept(ctx)
        grad = grad.contiguous()  # once, rather than in both calls below
        to_points = pull(points, None, table, grad, ctx.grid) if ctx.needs_input_grad[0] else None
        to_table = scatter(points, None, grad, None, ctx.grid) if ctx.needs_input_grad[2] else None
        return to_points, None, to_table, None

    def scatter_backward(ctx: Any, table: Tensor) -> tuple[Tensor | None, ...]:
        points, grad, also = _kept(ctx)
        if also is not None:
            raise KernelError("hash_encode: a sum of two gradients has no derivatives of its own")
        to_points = pull(points, None, table, grad, ctx.grid) if ctx.needs_input_grad[0] else None
        to_grad = gather(points, None, table, ctx.grid) if ctx.needs_input_grad[2] else None
        return to_points, None, to_grad, None, None

    def pull_backward(ctx: Any, tangent: Tensor) -> tuple[Tensor | None, ...]:
        points, table, grad = _kept(ctx)
        to_points = pull(points, tangent, table, grad, ctx.grid) if ctx.needs_input_grad[0] else None
        to_table = scatter(points, tangent, grad, None, ctx.grid) if ctx.needs_input_grad[2] else None
        to_grad = gather(points, tangent, table, ctx.grid) if ctx.needs_input_grad[3] else None
        return to_points, None, to_table, to_grad, None

    register_autograd(f"{space}::hash_gather", gather_backward, setup_context=_keep)
    register_autograd(f"{space}::hash_scatter", scatter_backward, setup_context=_keep)
    register_autograd(f"{space}::hash_pull", pull_backward, setup_context=_keep)
    return HashOperators(gather, scatter, pull)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.grid = inputs
    ctx.save_for_backward(*tensors)


def _kept(ctx: Any) -> tuple[Any, ...]:
    """Return the operator's saved tensors without the tangent."""
    points, tangent, *rest = ctx.saved_tensors
    if tangent is not None:
        raise KernelError("hash_encode: the compiled form has no third derivatives; backend='torch' has all")
    return points, *rest
