"""Operator of compositing and its gradient, by a kernel; second derivatives by the torch reference."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.library import register_autograd

from bozzetto.kernels.operators.operator import operator
from bozzetto.math import compositing

Parts = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Weights, accumulated values, opacity and depth, and the transmittance behind each sample, for the gradient."""


@runtime_checkable
class Composite(Protocol):
    """Composited samples, as `bozzetto.math.compositing.composite`."""

    def __call__(self, density: Tensor, t_start: Tensor, t_end: Tensor, values: Tensor, offsets: Tensor) -> Parts:
        """Compute them."""


@runtime_checkable
class CompositeBackward(Protocol):
    """Gradients to density and values; of the incoming ones, those that are None are zero."""

    def __call__(
        self,
        t_start: Tensor,
        t_end: Tensor,
        values: Tensor,
        offsets: Tensor,
        weights: Tensor,
        after: Tensor,
        grad_weights: Tensor | None,
        grad_accumulated: Tensor | None,
        grad_opacity: Tensor | None,
        grad_depth: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Compute them."""


def fake_composite(density: Tensor, t_start: Tensor, t_end: Tensor, values: Tensor, offsets: Tensor) -> Parts:
    """Return an empty result of `Composite`."""
    (samples, channels), rays = values.shape, offsets.shape[0] - 1
    weights, after = density.new_empty(samples), density.new_empty(samples)
    return weights, density.new_empty(rays, channels), density.new_empty(rays, 1), density.new_empty(rays, 1), after


def fake_composite_backward(
    t_start: Tensor, t_end: Tensor, values: Tensor, *rest: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return an empty result of `CompositeBackward`."""
    return values.new_empty(values.shape[:1]), values.new_empty(values.shape)


def composite_operator(space: str, run: Composite, run_backward: CompositeBackward) -> Composite:
    """Register the operators of an implementation, and the derivative of the first, which is returned."""
    forward = operator(
        space,
        "composite",
        "(Tensor density, Tensor t_start, Tensor t_end, Tensor values, Tensor offsets)"
        " -> (Tensor weights, Tensor accumulated, Tensor opacity, Tensor depth, Tensor after)",
        run,
        fake_composite,
    )
    backward = operator(
        space,
        "composite_backward",
        "(Tensor t_start, Tensor t_end, Tensor values, Tensor offsets, Tensor weights, Tensor after,"
        " Tensor? grad_weights, Tensor? grad_accumulated, Tensor? grad_opacity, Tensor? grad_depth)"
        " -> (Tensor grad_density, Tensor grad_values)",
        run_backward,
        fake_composite_backward,
    )

    def differentiate(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        density, t_start, t_end, values, offsets, weights, after = ctx.saved_tensors
        to_density: Tensor | None
        to_values: Tensor | None
        if torch.is_grad_enabled():  # second derivatives are requested: use the torch reference
            to_density, to_values = _differentiate_again(density, t_start, t_end, values, offsets, *grads[:4])
        else:
            to_weights, to_accumulated, to_opacity, to_depth = grads[:4]
            known = (t_start, t_end, values, offsets, weights, after)
            to_density, to_values = backward(*known, to_weights, to_accumulated, to_opacity, to_depth)
        return to_density, None, None, to_values, None

    register_autograd(f"{space}::composite", differentiate, setup_context=_keep)
    return forward


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Parts) -> None:
    weights, *_, after = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(after)
    ctx.save_for_backward(*inputs, weights, after)


def _differentiate_again(
    density: Tensor, t_start: Tensor, t_end: Tensor, values: Tensor, offsets: Tensor, *grads: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    outputs = compositing.composite(density, t_start, t_end, values, offsets)
    reached = [
        (output, grad) for output, grad in zip(outputs, grads, strict=True) if output.requires_grad and grad is not None
    ]
    inputs = [item for item in (density, values) if item.requires_grad]
    starts, cotangents = zip(*reached, strict=True)
    found = iter(torch.autograd.grad(starts, inputs, cotangents, create_graph=True))
    to_density, to_values = (next(found) if item.requires_grad else None for item in (density, values))
    return to_density, to_values
