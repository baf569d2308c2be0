"""Compiled attribute interpolation: the operators of `bozzetto.kernels.operators.interpolate` in C++."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.cpp.checks import expect_rast, expect_tri
from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.operators.interpolate import (
    InterpolateKernels,
    fake_backward_attr,
    fake_backward_rast,
    fake_interpolate,
    interpolate_operator,
)
from bozzetto.kernels.operators.operator import CPP


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
    outputs = fake_interpolate(attr, rast, tri, rast_db, diff_attrs)
    inputs = (tri.contiguous(), attr.contiguous(), rast.contiguous(), _packed(rast_db))
    call("interpolate", *_sizes(attr, rast, diff_attrs), *inputs, *outputs)
    return outputs


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
    grad_rast, grad_db = fake_backward_rast(attr, rast)
    inputs = (tri.contiguous(), attr.contiguous(), rast.contiguous(), _packed(rast_db))
    grads = (grad_out.contiguous(), _packed(grad_da), grad_rast, None if grad_da is None else grad_db)
    call("interpolate_backward_rast", *_sizes(attr, rast, diff_attrs), *inputs, *grads)
    return grad_rast, grad_db if grad_da is not None else grad_db.zero_()


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
    grad_attr = fake_backward_attr(attr)
    inputs = (tri.contiguous(), rast.contiguous(), _packed(rast_db), grad_out.contiguous(), _packed(grad_da))
    call("interpolate_backward_attr", *_sizes(attr, rast, diff_attrs), *inputs, grad_attr)
    return grad_attr


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


_interpolate = interpolate_operator(CPP, InterpolateKernels(_run, _run_backward_rast, _run_backward_attr))
