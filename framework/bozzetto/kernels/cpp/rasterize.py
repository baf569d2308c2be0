"""Compiled rasterisation: the operators of `bozzetto.kernels.operators.rasterize` in C++."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.cpp.checks import expect_rast, expect_tri
from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.operators.operator import CPP
from bozzetto.kernels.operators.rasterize import fake_rasterize, rasterize_operator


def rasterize(
    pos: Float[Tensor, "B V 4"], tri: Int[Tensor, "T 3"], height: int, width: int
) -> tuple[Float[Tensor, "B H W 4"], Float[Tensor, "B H W 4"]]:
    """Compiled form of `bozzetto.kernels.ref.rasterize.rasterize`; triangle numbers are bitwise equal.

    Raises:
        ValueError: `tri` has an index outside `pos`.
    """
    return _rasterize(pos, tri, height, width)


def _run(pos: Tensor, tri: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    images, vertices, _ = pos.shape
    expect_tri(tri, vertices)
    outputs = fake_rasterize(pos, tri, height, width)
    inputs = (pos.contiguous(), tri.contiguous())
    call("rasterize", images, vertices, len(tri), height, width, *inputs, *outputs)
    return outputs


def _run_backward(pos: Tensor, tri: Tensor, rast: Tensor, grad_rast: Tensor, grad_db: Tensor | None) -> Tensor:
    (images, vertices, _), (height, width) = pos.shape, rast.shape[1:3]
    expect_tri(tri, vertices)
    expect_rast(rast, len(tri))
    grad_pos = pos.new_empty(pos.shape)
    known = (pos.contiguous(), tri.contiguous(), rast.contiguous(), grad_rast.contiguous())
    into = None if grad_db is None else grad_db.contiguous()
    call("rasterize_backward", images, vertices, height, width, *known, into, grad_pos)
    return grad_pos


_rasterize = rasterize_operator(CPP, _run, _run_backward)
