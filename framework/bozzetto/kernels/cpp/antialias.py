"""Compiled antialiasing: the operator `bozzetto::antialias` and two operators for its gradients."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.cpp.checks import expect_rast, expect_tri
from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.cpp.operator import operator

Parts = tuple[Tensor, Tensor, Tensor]

ARGUMENTS = "Tensor color, Tensor rast, Tensor pos, Tensor tri, Tensor opposite"


def antialias(
    color: Float[Tensor, "B H W C"],
    rast: Float[Tensor, "B H W 4"],
    pos: Float[Tensor, "B V 4"],
    tri: Int[Tensor, "T 3"],
    opposite: Int[Tensor, "T 3"],
) -> Float[Tensor, "B H W C"]:
    """Compiled form of `bozzetto.kernels.ref.antialias.antialias`.

    Raises:
        ValueError: an index is out of range, or `rast` has a triangle that is not in `tri`.
    """
    return _antialias(color, rast.detach(), pos, tri, opposite)[0]


def _run(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, opposite: Tensor) -> Parts:
    _check(rast, pos, tri, opposite)
    out, blends, outlines = _fake(color, rast, pos, tri, opposite)
    inputs = [tensor.contiguous() for tensor in (color, rast, pos, tri, opposite)]
    call("antialias", *color.shape, pos.shape[1], len(tri), *inputs, torch.empty_like(outlines), outlines, blends, out)
    return out, blends, outlines


def _fake(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, opposite: Tensor) -> Parts:
    outlines = tri.new_empty(pos.shape[0], tri.shape[0])
    return color.new_empty(color.shape), color.new_empty(*color.shape[:3], 2), outlines


def _run_backward_color(rast: Tensor, blends: Tensor, grad: Tensor) -> Tensor:
    grad_color = grad.new_empty(grad.shape)
    call("antialias_backward_color", *grad.shape, rast.contiguous(), blends, grad.contiguous(), grad_color)
    return grad_color


def _fake_backward_color(rast: Tensor, blends: Tensor, grad: Tensor) -> Tensor:
    return grad.new_empty(grad.shape)


def _run_backward_pos(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    opposite: Tensor,
    outlines: Tensor,
    blends: Tensor,
    grad: Tensor,
) -> Tensor:
    _check(rast, pos, tri, opposite)
    grad_pos = pos.new_empty(pos.shape)
    inputs = [tensor.contiguous() for tensor in (color, rast, pos, tri, opposite, outlines, blends, grad)]
    call("antialias_backward_pos", *color.shape, pos.shape[1], len(tri), *inputs, grad_pos)
    return grad_pos


def _fake_backward_pos(color: Tensor, rast: Tensor, pos: Tensor, *_: Tensor) -> Tensor:
    return pos.new_empty(pos.shape)


_antialias = operator("antialias", f"({ARGUMENTS}) -> (Tensor out, Tensor blends, Tensor outlines)", _run, _fake)
_backward_color = operator(
    "antialias_backward_color",
    "(Tensor rast, Tensor blends, Tensor grad) -> Tensor",
    _run_backward_color,
    _fake_backward_color,
)
_backward_pos = operator(
    "antialias_backward_pos",
    f"({ARGUMENTS}, Tensor outlines, Tensor blends, Tensor grad) -> Tensor",
    _run_backward_pos,
    _fake_backward_pos,
)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Parts) -> None:
    _, blends, outlines = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(blends, outlines)
    ctx.save_for_backward(*inputs, outlines, blends)


def _differentiate(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    color, rast, pos, tri, opposite, outlines, blends = ctx.saved_tensors
    to_color = to_pos = None
    if grad is not None and ctx.needs_input_grad[0]:
        to_color = _backward_color(rast, blends, grad)
    if grad is not None and ctx.needs_input_grad[2]:
        to_pos = _backward_pos(color, rast, pos, tri, opposite, outlines, blends, grad)
    return to_color, None, to_pos, None, None


torch.library.register_autograd("bozzetto::antialias", _differentiate, setup_context=_keep)


def _check(rast: Tensor, pos: Tensor, tri: Tensor, opposite: Tensor) -> None:
    expect_tri(tri, pos.shape[1])
    expect_tri(opposite, 3 * len(tri), "opposite", lowest=-1)
    expect_rast(rast, len(tri))
