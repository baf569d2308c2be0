"""Compiled rasterisation: the operators `bozzetto::rasterize` and `bozzetto::rasterize_backward`."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.cpp.checks import expect_rast, expect_tri
from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.cpp.operator import operator


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
    outputs = _fake(pos, tri, height, width)
    inputs = (pos.contiguous(), tri.contiguous())
    call("rasterize", images, vertices, len(tri), height, width, *inputs, *outputs)
    return outputs


def _fake(pos: Tensor, tri: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    return pos.new_empty(pos.shape[0], height, width, 4), pos.new_empty(pos.shape[0], height, width, 4)


def _run_backward(pos: Tensor, tri: Tensor, rast: Tensor, grad_rast: Tensor, grad_db: Tensor | None) -> Tensor:
    (images, vertices, _), (height, width) = pos.shape, rast.shape[1:3]
    expect_tri(tri, vertices)
    expect_rast(rast, len(tri))
    grad_pos = pos.new_empty(pos.shape)
    known = (pos.contiguous(), tri.contiguous(), rast.contiguous(), grad_rast.contiguous())
    into = None if grad_db is None else grad_db.contiguous()
    call("rasterize_backward", images, vertices, height, width, *known, into, grad_pos)
    return grad_pos


def _fake_backward(pos: Tensor, *_: Tensor | None) -> Tensor:
    return pos.new_empty(pos.shape)


_rasterize = operator(
    "rasterize", "(Tensor pos, Tensor tri, int height, int width) -> (Tensor rast, Tensor rast_db)", _run, _fake
)
_rasterize_backward = operator(
    "rasterize_backward",
    "(Tensor pos, Tensor tri, Tensor rast, Tensor grad_rast, Tensor? grad_db) -> Tensor",
    _run_backward,
    _fake_backward,
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(inputs[0], inputs[1], output[0])


def _differentiate(ctx: Any, grad_rast: Tensor | None, grad_db: Tensor | None) -> tuple[Tensor | None, ...]:
    pos, tri, rast = ctx.saved_tensors
    if grad_rast is None and grad_db is None:
        return None, None, None, None
    grad_rast = torch.zeros_like(rast) if grad_rast is None else grad_rast
    return _rasterize_backward(pos, tri, rast, grad_rast, grad_db), None, None, None


torch.library.register_autograd("bozzetto::rasterize", _differentiate, setup_context=_keep)
