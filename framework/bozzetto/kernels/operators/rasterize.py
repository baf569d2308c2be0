"""Operators of rasterisation and of its gradient."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.library import register_autograd

from bozzetto.kernels.operators.operator import operator


@runtime_checkable
class Rasterize(Protocol):
    """`rast` and `rast_db` "B H W 4" of `pos` "B V 4" and `tri` "T 3"."""

    def __call__(self, pos: Tensor, tri: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Compute them."""


@runtime_checkable
class RasterizeBackward(Protocol):
    """Gradient to `pos`."""

    def __call__(self, pos: Tensor, tri: Tensor, rast: Tensor, grad_rast: Tensor, grad_db: Tensor | None) -> Tensor:
        """Compute it."""


def fake_rasterize(pos: Tensor, tri: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return an empty result of `Rasterize`."""
    return pos.new_empty(pos.shape[0], height, width, 4), pos.new_empty(pos.shape[0], height, width, 4)


def fake_rasterize_backward(pos: Tensor, *_: Tensor | None) -> Tensor:
    """Return an empty result of `RasterizeBackward`."""
    return pos.new_empty(pos.shape)


def rasterize_operator(space: str, run: Rasterize, run_backward: RasterizeBackward) -> Rasterize:
    """Register the operators of an implementation, and the derivative of the first, which is returned."""
    forward = operator(
        space,
        "rasterize",
        "(Tensor pos, Tensor tri, int height, int width) -> (Tensor rast, Tensor rast_db)",
        run,
        fake_rasterize,
    )
    backward = operator(
        space,
        "rasterize_backward",
        "(Tensor pos, Tensor tri, Tensor rast, Tensor grad_rast, Tensor? grad_db) -> Tensor",
        run_backward,
        fake_rasterize_backward,
    )

    def differentiate(ctx: Any, grad_rast: Tensor | None, grad_db: Tensor | None) -> tuple[Tensor | None, ...]:
        pos, tri, rast = ctx.saved_tensors
        if grad_rast is None and grad_db is None:
            return None, None, None, None
        grad_rast = torch.zeros_like(rast) if grad_rast is None else grad_rast
        return backward(pos, tri, rast, grad_rast, grad_db), None, None, None

    register_autograd(f"{space}::rasterize", differentiate, setup_context=_keep)
    return forward


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(inputs[0], inputs[1], output[0])
