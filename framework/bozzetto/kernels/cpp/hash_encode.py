"""Compiled hash encoding: operators with first and second derivatives.

Three operators are each other's derivatives, so that autograd can chain them:
`gather` (points, table -> encoded), `scatter` (its transpose: gradient to the table), `pull` (gradient to the points).
With a tangent, their interpolation weights become directional derivatives, which yields the derivatives of `pull`. All
per-point tensors are feature-major: points and tangents "3 N", encoded points and gradients "LF N".
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.library import register_autograd

from bozzetto.kernels.cpp.native import NativeError, call
from bozzetto.kernels.cpp.operator import operator
from bozzetto.kernels.grid_spec import GridSpec


def hash_encode(points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec) -> Float[Tensor, "N LF"]:
    """Compiled form of `bozzetto.kernels.ref.hash_encode.hash_encode`, up to second derivatives; a transposed view."""
    return gather(points.t().contiguous(), None, table, spec.text).t()


class Level(ctypes.Structure):
    """`struct Level` of hash_cells.h."""

    _fields_ = (
        ("scale", ctypes.c_float),
        ("resolution", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("hashed", ctypes.c_uint32),
    )


class _Grid(NamedTuple):
    spec: GridSpec
    arguments: tuple[Any, int, int, int]
    """Leading arguments of each kernel: levels, their count, features, whether smoothstep."""


@functools.lru_cache(maxsize=32)
def _grid(text: str) -> _Grid:
    spec = GridSpec.from_text(text)
    rows = [Level(row.scale, row.resolution, row.offset, row.size, int(row.hashed)) for row in spec.table]
    return _Grid(spec, ((Level * len(rows))(*rows), len(rows), spec.features, int(spec.interpolation == "smoothstep")))


def _run_gather(points: Tensor, tangent: Tensor | None, table: Tensor, grid: str) -> Tensor:
    encoded = _fake_gather(points, tangent, table, grid)
    known = (points.contiguous(), _contiguous(tangent), table.contiguous())
    call("hash_gather", *_grid(grid).arguments, points.shape[1], *known, encoded)
    return encoded


def _fake_gather(points: Tensor, tangent: Tensor | None, table: Tensor, grid: str) -> Tensor:
    return table.new_empty(_grid(grid).spec.feature_count, points.shape[1])


def _run_scatter(points: Tensor, tangent: Tensor | None, grad: Tensor, also: Tensor | None, grid: str) -> Tensor:
    to_table = _fake_scatter(points, tangent, grad, also, grid)
    known = (points.contiguous(), _contiguous(tangent), grad.contiguous(), _contiguous(also))
    call("hash_scatter", *_grid(grid).arguments, points.shape[1], *known, to_table)
    return to_table


def _fake_scatter(points: Tensor, tangent: Tensor | None, grad: Tensor, also: Tensor | None, grid: str) -> Tensor:
    spec = _grid(grid).spec
    return grad.new_empty(spec.entry_count, spec.features)


def _run_pull(points: Tensor, tangent: Tensor | None, table: Tensor, grad: Tensor, grid: str) -> Tensor:
    to_points = _fake_pull(points, tangent, table, grad, grid)
    known = (points.contiguous(), _contiguous(tangent), table.contiguous(), grad.contiguous())
    call("hash_pull", *_grid(grid).arguments, points.shape[1], *known, to_points)
    return to_points


def _fake_pull(points: Tensor, tangent: Tensor | None, table: Tensor, grad: Tensor, grid: str) -> Tensor:
    return points.new_empty(3, points.shape[1])


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


gather = operator(
    "hash_gather", "(Tensor points, Tensor? tangent, Tensor table, str grid) -> Tensor", _run_gather, _fake_gather
)
scatter = operator(
    "hash_scatter",
    "(Tensor points, Tensor? tangent, Tensor grad, Tensor? also, str grid) -> Tensor",
    _run_scatter,
    _fake_scatter,
)
pull = operator(
    "hash_pull",
    "(Tensor points, Tensor? tangent, Tensor table, Tensor grad, str grid) -> Tensor",
    _run_pull,
    _fake_pull,
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.grid = inputs
    ctx.save_for_backward(*tensors)


def _kept(ctx: Any) -> tuple[Any, ...]:
    """Return the operator's saved tensors without the tangent."""
    points, tangent, *rest = ctx.saved_tensors
    if tangent is not None:
        raise NativeError("hash_encode: the compiled form has no third derivatives; backend='torch' has all")
    return points, *rest


def _gather_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    points, table = _kept(ctx)
    grad = grad.contiguous()  # once, rather than in both calls below
    to_points = pull(points, None, table, grad, ctx.grid) if ctx.needs_input_grad[0] else None
    to_table = scatter(points, None, grad, None, ctx.grid) if ctx.needs_input_grad[2] else None
    return to_points, None, to_table, None


def _scatter_backward(ctx: Any, table: Tensor) -> tuple[Tensor | None, ...]:
    points, grad, also = _kept(ctx)
    if also is not None:
        raise NativeError("hash_encode: a sum of two gradients has no derivatives of its own")
    to_points = pull(points, None, table, grad, ctx.grid) if ctx.needs_input_grad[0] else None
    to_grad = gather(points, None, table, ctx.grid) if ctx.needs_input_grad[2] else None
    return to_points, None, to_grad, None, None


def _pull_backward(ctx: Any, tangent: Tensor) -> tuple[Tensor | None, ...]:
    points, table, grad = _kept(ctx)
    to_points = pull(points, tangent, table, grad, ctx.grid) if ctx.needs_input_grad[0] else None
    to_table = scatter(points, tangent, grad, None, ctx.grid) if ctx.needs_input_grad[2] else None
    to_grad = gather(points, tangent, table, ctx.grid) if ctx.needs_input_grad[3] else None
    return to_points, None, to_table, to_grad, None


register_autograd("bozzetto::hash_gather", _gather_backward, setup_context=_keep)
register_autograd("bozzetto::hash_scatter", _scatter_backward, setup_context=_keep)
register_autograd("bozzetto::hash_pull", _pull_backward, setup_context=_keep)
