"""Operators of antialiasing and of its gradients."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor
from torch.library import register_autograd

from bozzetto.kernels.operators.operator import operator

Parts = tuple[Tensor, Tensor, Tensor]
"""The image, and for the gradients: blends "B H W 2" and outlines "B T"."""

ARGUMENTS = "Tensor color, Tensor rast, Tensor pos, Tensor tri, Tensor opposite"


@runtime_checkable
class Antialias(Protocol):
    """The blended image, and what its gradients need."""

    def __call__(self, color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, opposite: Tensor) -> Parts:
        """Compute them."""


@runtime_checkable
class BackwardColor(Protocol):
    """Gradient to `color`."""

    def __call__(self, rast: Tensor, blends: Tensor, grad: Tensor) -> Tensor:
        """Compute it."""


@runtime_checkable
class BackwardPos(Protocol):
    """Gradient to `pos`."""

    def __call__(
        self,
        color: Tensor,
        rast: Tensor,
        pos: Tensor,
        tri: Tensor,
        opposite: Tensor,
        outlines: Tensor,
        blends: Tensor,
        grad: Tensor,
    ) -> Tensor:
        """Compute it."""


class AntialiasKernels(NamedTuple):
    """Kernels of one implementation."""

    run: Antialias
    backward_color: BackwardColor
    backward_pos: BackwardPos


def fake_antialias(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, opposite: Tensor) -> Parts:
    """Return an empty result of `Antialias`."""
    outlines = tri.new_empty(pos.shape[0], tri.shape[0])
    return color.new_empty(color.shape), color.new_empty(*color.shape[:3], 2), outlines


def fake_backward_color(rast: Tensor, blends: Tensor, grad: Tensor) -> Tensor:
    """Return an empty result of `BackwardColor`."""
    return grad.new_empty(grad.shape)


def fake_backward_pos(color: Tensor, rast: Tensor, pos: Tensor, *_: Tensor) -> Tensor:
    """Return an empty result of `BackwardPos`."""
    return pos.new_empty(pos.shape)


def antialias_operator(space: str, kernels: AntialiasKernels) -> Antialias:
    """Register the operators of an implementation, and the derivative of the first, which is returned."""
    forward = operator(
        space,
        "antialias",
        f"({ARGUMENTS}) -> (Tensor out, Tensor blends, Tensor outlines)",
        kernels.run,
        fake_antialias,
    )
    backward_color = operator(
        space,
        "antialias_backward_color",
        "(Tensor rast, Tensor blends, Tensor grad) -> Tensor",
        kernels.backward_color,
        fake_backward_color,
    )
    backward_pos = operator(
        space,
        "antialias_backward_pos",
        f"({ARGUMENTS}, Tensor outlines, Tensor blends, Tensor grad) -> Tensor",
        kernels.backward_pos,
        fake_backward_pos,
    )

    def differentiate(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        color, rast, pos, tri, opposite, outlines, blends = ctx.saved_tensors
        to_color = to_pos = None
        if grad is not None and ctx.needs_input_grad[0]:
            to_color = backward_color(rast, blends, grad)
        if grad is not None and ctx.needs_input_grad[2]:
            to_pos = backward_pos(color, rast, pos, tri, opposite, outlines, blends, grad)
        return to_color, None, to_pos, None, None

    register_autograd(f"{space}::antialias", differentiate, setup_context=_keep)
    return forward


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Parts) -> None:
    _, blends, outlines = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(blends, outlines)
    ctx.save_for_backward(*inputs, outlines, blends)
