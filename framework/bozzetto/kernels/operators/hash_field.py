"""Scalar field on a hash encoding with its spatial gradient; the backward pass is written out.

With e the encoding of x and f the network, the value is f(e), u = df/de and the slope is the encoding's transposed
Jacobian times u. For gradients g of the value and v of the slope, the loss changes by g f(e) + <v, J^T u>, where <v,
J^T u> = <J v, u> is the derivative of f along J v. As f is piecewise linear (ReLU, no biases), both terms are the
network's derivative along one tangent, g e + J v: one pass gives the gradient to all weights. Autograd takes twice the
time, since it also computes the unused gradients to the points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bozzetto.kernels.operators.hash_encode import HashOperators

Parts = tuple[Tensor, Tensor, Tensor]
"""Value "N", encoded points "LF N", slope "3 N"."""


class FieldKernels(NamedTuple):
    """Kernels of one implementation. `widths` are those of the layers; their weights are packed into one tensor."""

    encoding: HashOperators
    slope: Callable[[Tensor, Tensor, list[int]], tuple[Tensor, Tensor]]
    """Map encoded points, weights and widths to the network's value "N" and its gradient "LF N" to the encoding."""
    along: Callable[[Tensor, Tensor, Tensor, list[int]], Tensor]
    """Map encoded points, tangents, weights and widths to the gradient, to the weights, of the derivative along the
    tangents, summed over the points."""


def hash_field(
    kernels: FieldKernels, points: Tensor, table: Tensor, weights: Tensor, widths: list[int], grid: str
) -> Parts:
    """Evaluate a field at points "3 N", which get no gradient; once differentiable in table and weights."""
    apply: Callable[..., Parts] = _HashField.apply  # not annotated in torch
    return apply(kernels, points, table, weights, widths, grid)


class _HashField(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: FieldKernels, points: Tensor, table: Tensor, weights: Tensor, widths: list[int], grid: str
    ) -> Parts:
        encoded = kernels.encoding.gather(points, None, table, grid)
        value, network_slope = kernels.slope(encoded, weights, widths)
        ctx.save_for_backward(points, table, weights, encoded, network_slope)
        ctx.kernels, ctx.widths, ctx.grid = kernels, widths, grid
        ctx.set_materialize_grads(False)
        return value, encoded, kernels.encoding.pull(points, None, table, network_slope, grid)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, to_value: Tensor | None, to_encoded: Tensor | None, to_slope: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        points, table, weights, encoded, network_slope = ctx.saved_tensors
        gather, scatter, _ = ctx.kernels.encoding
        along = None if to_slope is None else to_slope.contiguous()
        parts = [] if to_value is None else [to_value * encoded]
        parts += [] if along is None else [gather(points, along, table, ctx.grid)]
        grad_weights = None
        if parts and ctx.needs_input_grad[3]:
            tangent = parts[0] if len(parts) == 1 else parts[0].add_(parts[1])
            grad_weights = ctx.kernels.along(encoded, tangent, weights, ctx.widths)
        grads = [] if to_encoded is None else [to_encoded]
        grads += [] if to_value is None else [to_value * network_slope]
        plain = None if not grads else grads[0] if len(grads) == 1 else grads[0] + grads[1]
        grad_table = None
        if ctx.needs_input_grad[2]:
            if along is not None:
                grad_table = scatter(points, along, network_slope, plain, ctx.grid)
            elif plain is not None:
                grad_table = scatter(points, None, plain, None, ctx.grid)
        return None, None, grad_table, grad_weights, None, None
