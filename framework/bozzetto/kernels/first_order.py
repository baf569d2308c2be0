"""Functions that keep nothing but their inputs for the backward pass, as a whole or in chunks of points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

Tensors = tuple[Tensor, ...]

CHUNK = 1 << 17
"""Points at a time in the torch form of a hash grid: with normals on 16 levels they need 2 GB while computed."""


def first_order(fast: Callable[..., Tensors], exact: Callable[..., Tensors], *inputs: Tensor) -> Tensors:
    """`fast(*inputs)`; its gradient comes from `fast`, or from `exact` where a graph of the gradient is asked for.

    Both map the same tensors to the same tuple of tensors. Nothing but the inputs is kept for the backward pass, which
    evaluates the function again.
    """
    apply: Callable[..., Tensors] = _FirstOrder.apply  # not annotated in torch
    return apply(fast, exact, *inputs)


def in_chunks(function: Callable[..., Tensors], points: Tensor, *inputs: Tensor) -> Tensors:
    """`function(points, *inputs)`, whose outputs have a row for each point, on at most `CHUNK` points at a time.

    Where there are more, what the function keeps for its gradient is not kept: the backward pass evaluates each chunk
    again. Memory then grows by the outputs alone.
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
