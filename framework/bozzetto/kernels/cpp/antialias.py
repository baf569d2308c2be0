"""Compiled antialiasing: the operators of `bozzetto.kernels.operators.antialias` in C++."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.cpp.checks import expect_rast, expect_tri
from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.operators.antialias import AntialiasKernels, Parts, antialias_operator, fake_antialias
from bozzetto.kernels.operators.operator import CPP


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
    out, blends, outlines = fake_antialias(color, rast, pos, tri, opposite)
    inputs = [tensor.contiguous() for tensor in (color, rast, pos, tri, opposite)]
    call("antialias", *color.shape, pos.shape[1], len(tri), *inputs, torch.empty_like(outlines), outlines, blends, out)
    return out, blends, outlines


def _run_backward_color(rast: Tensor, blends: Tensor, grad: Tensor) -> Tensor:
    grad_color = grad.new_empty(grad.shape)
    call("antialias_backward_color", *grad.shape, rast.contiguous(), blends, grad.contiguous(), grad_color)
    return grad_color


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


def _check(rast: Tensor, pos: Tensor, tri: Tensor, opposite: Tensor) -> None:
    expect_tri(tri, pos.shape[1])
    expect_tri(opposite, 3 * len(tri), "opposite", lowest=-1)
    expect_rast(rast, len(tri))


_antialias = antialias_operator(CPP, AntialiasKernels(_run, _run_backward_color, _run_backward_pos))
