"""Operators of attribute interpolation and of its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor
from torch.library import register_autograd

from bozzetto.kernels.operators.operator import operator

ARGUMENTS = "Tensor attr, Tensor rast, Tensor tri, Tensor? rast_db, int[] diff_attrs"


@runtime_checkable
class Interpolate(Protocol):
    """Attributes "B H W A" and their derivatives "B H W D2"."""

    def __call__(
        self, attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, diff_attrs: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Compute them."""


@runtime_checkable
class BackwardRast(Protocol):
    """Gradients to `rast` and `rast_db`; the latter is zero without `grad_da`."""

    def __call__(
        self,
        attr: Tensor,
        rast: Tensor,
        tri: Tensor,
        rast_db: Tensor | None,
        diff_attrs: Sequence[int],
        grad_out: Tensor,
        grad_da: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Compute them."""


@runtime_checkable
class BackwardAttr(Protocol):
    """Gradient to `attr`."""

    def __call__(
        self,
        attr: Tensor,
        rast: Tensor,
        tri: Tensor,
        rast_db: Tensor | None,
        diff_attrs: Sequence[int],
        grad_out: Tensor,
        grad_da: Tensor | None,
    ) -> Tensor:
        """Compute it."""


class InterpolateKernels(NamedTuple):
    """Kernels of one implementation."""

    run: Interpolate
    backward_rast: BackwardRast
    backward_attr: BackwardAttr


def fake_interpolate(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, diff_attrs: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return an empty result of `Interpolate`."""
    image = rast.shape[:3]
    return attr.new_empty(*image, attr.shape[2]), attr.new_empty(*image, 2 * len(diff_attrs))


def fake_backward_rast(attr: Tensor, rast: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """Return an empty result of `BackwardRast`."""
    return rast.new_empty(rast.shape), rast.new_empty(rast.shape)


def fake_backward_attr(attr: Tensor, *_: Any) -> Tensor:
    """Return an empty result of `BackwardAttr`."""
    return attr.new_empty(attr.shape)


def interpolate_operator(space: str, kernels: InterpolateKernels) -> Interpolate:
    """Register the operators of an implementation, and the derivative of the first, which is returned."""
    forward = operator(
        space, "interpolate", f"({ARGUMENTS}) -> (Tensor out, Tensor out_da)", kernels.run, fake_interpolate
    )
    backward_rast = operator(
        space,
        "interpolate_backward_rast",
        f"({ARGUMENTS}, Tensor grad_out, Tensor? grad_da) -> (Tensor grad_rast, Tensor grad_db)",
        kernels.backward_rast,
        fake_backward_rast,
    )
    backward_attr = operator(
        space,
        "interpolate_backward_attr",
        f"({ARGUMENTS}, Tensor grad_out, Tensor? grad_da) -> Tensor",
        kernels.backward_attr,
        fake_backward_attr,
    )

    def differentiate(ctx: Any, grad_out: Tensor | None, grad_da: Tensor | None) -> tuple[Tensor | None, ...]:
        attr, rast, tri, rast_db = ctx.saved_tensors
        grad_da = grad_da if ctx.diff_attrs else None
        if grad_out is None and grad_da is None:
            return None, None, None, None, None
        grad_out = attr.new_zeros(*rast.shape[:3], attr.shape[2]) if grad_out is None else grad_out
        known = (attr, rast, tri, rast_db, ctx.diff_attrs, grad_out, grad_da)
        to_attr = to_rast = to_db = None
        if ctx.needs_input_grad[0]:
            to_attr = backward_attr(*known)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[3]:
            to_rast, to_db = backward_rast(*known)
        return to_attr, to_rast, None, to_db if grad_da is not None else None, None

    register_autograd(f"{space}::interpolate", differentiate, setup_context=_keep)
    return forward


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:4])
    ctx.diff_attrs = inputs[4]
