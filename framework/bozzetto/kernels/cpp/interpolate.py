"""Compiled attribute interpolation: the operator `bozzetto::interpolate` and two operators for its gradients."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.cpp.checks import expect_rast, expect_tri
from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.cpp.operator import operator

ARGUMENTS = "Tensor attr, Tensor rast, Tensor tri, Tensor? rast_db, int[] diff_attrs"


def interpolate(
    attr: Float[Tensor, "A_B V A"],
    rast: Float[Tensor, "B H W 4"],
    tri: Int[Tensor, "T 3"],
    rast_db: Float[Tensor, "B H W 4"],
    diff_attrs: Sequence[int],
) -> tuple[Float[Tensor, "B H W A"], Float[Tensor, "B H W D2"]]:
    """Compiled form of `bozzetto.kernels.ref.interpolate.interpolate`.

    Raises:
        ValueError: `tri` has an index outside `attr`, or `rast` has a triangle that is not in `tri`.
    """
    return _interpolate(attr, rast, tri, rast_db if diff_attrs else None, list(diff_attrs))


def _run(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, diff_attrs: Sequence[int]
) -> tuple[Tensor, Tensor]:
    _check(attr, rast, tri)
    outputs = _fake(attr, rast, tri, rast_db, diff_attrs)
    inputs = (tri.contiguous(), attr.contiguous(), rast.contiguous(), _packed(rast_db))
    call("interpolate", *_sizes(attr, rast, diff_attrs), *inputs, *outputs)
    return outputs


def _fake(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, diff_attrs: Sequence[int]
) -> tuple[Tensor, Tensor]:
    image = rast.shape[:3]
    return attr.new_empty(*image, attr.shape[2]), attr.new_empty(*image, 2 * len(diff_attrs))


def _run_backward_rast(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None,
    diff_attrs: Sequence[int],
    grad_out: Tensor,
    grad_da: Tensor | None,
) -> tuple[Tensor, Tensor]:
    _check(attr, rast, tri)
    grad_rast, grad_db = _fake_backward_rast(attr, rast)
    inputs = (tri.contiguous(), attr.contiguous(), rast.contiguous(), _packed(rast_db))
    grads = (grad_out.contiguous(), _packed(grad_da), grad_rast, None if grad_da is None else grad_db)
    call("interpolate_backward_rast", *_sizes(attr, rast, diff_attrs), *inputs, *grads)
    return grad_rast, grad_db if grad_da is not None else grad_db.zero_()


def _fake_backward_rast(attr: Tensor, rast: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return rast.new_empty(rast.shape), rast.new_empty(rast.shape)


def _run_backward_attr(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None,
    diff_attrs: Sequence[int],
    grad_out: Tensor,
    grad_da: Tensor | None,
) -> Tensor:
    _check(attr, rast, tri)
    grad_attr = _fake_backward_attr(attr)
    inputs = (tri.contiguous(), rast.contiguous(), _packed(rast_db), grad_out.contiguous(), _packed(grad_da))
    call("interpolate_backward_attr", *_sizes(attr, rast, diff_attrs), *inputs, grad_attr)
    return grad_attr


def _fake_backward_attr(attr: Tensor, *_: Any) -> Tensor:
    return attr.new_empty(attr.shape)


_interpolate = operator("interpolate", f"({ARGUMENTS}) -> (Tensor out, Tensor out_da)", _run, _fake)
_backward_rast = operator(
    "interpolate_backward_rast",
    f"({ARGUMENTS}, Tensor grad_out, Tensor? grad_da) -> (Tensor grad_rast, Tensor grad_db)",
    _run_backward_rast,
    _fake_backward_rast,
)
_backward_attr = operator(
    "interpolate_backward_attr",
    f"({ARGUMENTS}, Tensor grad_out, Tensor? grad_da) -> Tensor",
    _run_backward_attr,
    _fake_backward_attr,
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:4])
    ctx.diff_attrs = inputs[4]


def _differentiate(ctx: Any, grad_out: Tensor | None, grad_da: Tensor | None) -> tuple[Tensor | None, ...]:
    attr, rast, tri, rast_db = ctx.saved_tensors
    grad_da = grad_da if ctx.diff_attrs else None
    if grad_out is None and grad_da is None:
        return None, None, None, None, None
    grad_out = attr.new_zeros(*rast.shape[:3], attr.shape[2]) if grad_out is None else grad_out
    known = (attr, rast, tri, rast_db, ctx.diff_attrs, grad_out, grad_da)
    to_attr = to_rast = to_db = None
    if ctx.needs_input_grad[0]:
        to_attr = _backward_attr(*known)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[3]:
        to_rast, to_db = _backward_rast(*known)
    return to_attr, to_rast, None, to_db if grad_da is not None else None, None


torch.library.register_autograd("bozzetto::interpolate", _differentiate, setup_context=_keep)


def _check(attr: Tensor, rast: Tensor, tri: Tensor) -> None:
    expect_tri(tri, attr.shape[1])
    expect_rast(rast, len(tri))


def _sizes(attr: Tensor, rast: Tensor, diff_attrs: Sequence[int]) -> tuple[Any, ...]:
    """Return images, pixels, vertices, count, shared, chosen_count and chosen of interpolate.cpp."""
    images, height, width, _ = rast.shape
    chosen = (ctypes.c_int64 * len(diff_attrs))(*diff_attrs)
    return images, height * width, *attr.shape[1:], int(len(attr) == 1), len(diff_attrs), chosen


def _packed(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
