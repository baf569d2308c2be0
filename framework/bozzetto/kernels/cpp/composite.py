"""Compiled compositing: the operators `bozzetto::composite` and `bozzetto::composite_backward`."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.cpp.native import NativeError, status
from bozzetto.kernels.cpp.operator import operator
from bozzetto.math import compositing
from bozzetto.math.compositing import Composited

BAD_OFFSETS = -2
"""Status code `kBadOffsets` of composite.cpp."""

Parts = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def composite(
    density: Float[Tensor, "S"],
    t_start: Float[Tensor, "S"],
    t_end: Float[Tensor, "S"],
    values: Float[Tensor, "S C"],
    offsets: Int[Tensor, "R1"],
) -> Composited:
    """Compiled form of `bozzetto.math.compositing.composite`, with gradients to density and values.

    Raises:
        ValueError: the offsets do not increase from 0 to the number of samples.
    """
    *results, _ = _composite(density, t_start, t_end, values, offsets)
    return Composited(*results)


def _run(density: Tensor, t_start: Tensor, t_end: Tensor, values: Tensor, offsets: Tensor) -> Parts:
    outputs = _fake(density, t_start, t_end, values, offsets)
    weights, accumulated, opacity, depth, after = outputs
    samples, channels = values.shape
    rows = offsets.to(torch.int64).contiguous()
    known = (density.contiguous(), t_start.contiguous(), t_end.contiguous(), values.contiguous())
    into = (weights, after, accumulated, opacity, depth)
    code = status("composite", len(rows) - 1, samples, channels, rows, *known, *into)
    if code == BAD_OFFSETS:
        raise ValueError(f"offsets: must rise from 0 to the number of samples, {samples}")
    if code != 0:
        raise NativeError(f"bozzetto_composite failed with code {code}")
    return outputs


def _fake(density: Tensor, t_start: Tensor, t_end: Tensor, values: Tensor, offsets: Tensor) -> Parts:
    (samples, channels), rays = values.shape, offsets.shape[0] - 1
    weights, after = density.new_empty(samples), density.new_empty(samples)
    return weights, density.new_empty(rays, channels), density.new_empty(rays, 1), density.new_empty(rays, 1), after


def _run_backward(
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
    to_density, to_values = torch.empty_like(weights), values.new_empty(values.shape)
    rows = offsets.to(torch.int64).contiguous()
    known = (t_start.contiguous(), t_end.contiguous(), values.contiguous(), weights.contiguous(), after.contiguous())
    grads = (grad_weights, grad_accumulated, grad_opacity, grad_depth)
    into = [None if grad is None else grad.contiguous() for grad in grads]
    code = status("composite_backward", len(rows) - 1, values.shape[1], rows, *known, *into, to_density, to_values)
    if code != 0:
        raise NativeError(f"bozzetto_composite_backward failed with code {code}")
    return to_density, to_values


def _fake_backward(t_start: Tensor, t_end: Tensor, values: Tensor, *rest: Tensor | None) -> tuple[Tensor, Tensor]:
    return values.new_empty(values.shape[:1]), values.new_empty(values.shape)


_composite = operator(
    "composite",
    "(Tensor density, Tensor t_start, Tensor t_end, Tensor values, Tensor offsets)"
    " -> (Tensor weights, Tensor accumulated, Tensor opacity, Tensor depth, Tensor after)",
    _run,
    _fake,
)
_composite_backward = operator(
    "composite_backward",
    "(Tensor t_start, Tensor t_end, Tensor values, Tensor offsets, Tensor weights, Tensor after, Tensor? grad_weights,"
    " Tensor? grad_accumulated, Tensor? grad_opacity, Tensor? grad_depth) -> (Tensor grad_density, Tensor grad_values)",
    _run_backward,
    _fake_backward,
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Parts) -> None:
    weights, *_, after = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(after)
    ctx.save_for_backward(*inputs, weights, after)


def _differentiate(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    density, t_start, t_end, values, offsets, weights, after = ctx.saved_tensors
    if torch.is_grad_enabled():  # second derivatives are requested: use the torch reference
        to_density, to_values = _differentiate_again(density, t_start, t_end, values, offsets, *grads[:4])
    else:
        to_density, to_values = _composite_backward(t_start, t_end, values, offsets, weights, after, *grads[:4])
    return to_density, None, None, to_values, None


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


torch.library.register_autograd("bozzetto::composite", _differentiate, setup_context=_keep)
