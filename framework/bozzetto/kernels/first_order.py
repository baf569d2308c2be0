"""Functions that save only their inputs for the backward pass, evaluated as a whole or in chunks of points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

Tensors = tuple[Tensor, ...]

CHUNK = 1 << 16
"""Points per chunk of the torch hash grid; with normals on 16 levels a chunk takes 1 GB while it is computed."""


def first_order(fast: Callable[..., Tensors], exact: Callable[..., Tensors], *inputs: Tensor) -> Tensors:
    """Evaluate `fast(*inputs)`; gradients are those of `fast`, or of `exact` if `create_graph` is requested.

    Both map the same tensors to the same tuple of tensors. Only the inputs are saved; the backward pass evaluates the
    function again.
    """
    apply: Callable[..., Tensors] = _FirstOrder.apply  # not annotated in torch
    return apply(fast, exact, *inputs)


def in_chunks(function: Callable[..., Tensors], points: Tensor, *inputs: Tensor) -> Tensors:
    """Evaluate `function(points, *inputs)`, whose outputs have one row per point, on at most `CHUNK` points at a time.

    With several chunks, intermediate results are not saved: the backward pass evaluates each chunk again, so that
    memory grows by the outputs only.
    """
    if len(points) <= CHUNK:
        return tuple(function(points, *inputs))
    parts = [first_order(function, function, part, *inputs) for part in points.split(CHUNK)]
    return tuple(torch.cat(outputs) for outputs in zip(*parts, strict=True))


class _FirstOrder(Function):
    @staticmethod
    def forward(ctx: Any, fast: Callable[..., Tensors], exact: Callable[..., Tensors], *inputs: Tensor) -> Tensors:
        ctx.fast, ctx.exact = fast, exact
        ctx.save_for_backward(*inputs)
        return tuple(fast(*(item.detach() for item in inputs)))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        twice = torch.is_grad_enabled()
        needed = ctx.needs_input_grad[2:]
        inputs = ctx.saved_tensors
        if not twice:
            inputs = [item.detach().requires_grad_(need) for item, need in zip(inputs, needed, strict=True)]
        with torch.enable_grad():
            outputs = (ctx.exact if twice else ctx.fast)(*inputs)
        pairs = [(out, grad) for out, grad in zip(outputs, cotangents, strict=True) if out.requires_grad]
        wanted = [item for item, need in zip(inputs, needed, strict=True) if need]
        starts, grads = zip(*pairs, strict=True)
        found = iter(torch.autograd.grad(starts, wanted, grads, create_graph=twice, allow_unused=True))
        return None, None, *(next(found) if need else None for need in needed)
