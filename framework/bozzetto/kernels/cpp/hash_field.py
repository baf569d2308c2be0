"""Compiled scalar field on a hash encoding with its spatial gradient; the backward pass is written out.

With e the encoding of x and f the network, the value is f(e), u = df/de and the slope is the encoding's transposed
Jacobian times u. For gradients g of the value and v of the slope, the loss changes by g f(e) + <v, J^T u>, where <v,
J^T u> = <J v, u> is the derivative of f along J v. As f is piecewise linear (ReLU, no biases), both terms are the
network's derivative along one tangent, g e + J v: one pass gives the gradient to all weights. Autograd takes twice the
time, since it also computes the unused gradients to the points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from bozzetto.kernels.cpp import mlp
from bozzetto.kernels.cpp.hash_encode import gather, pull, scatter
from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.ref.hash_field import SlopedField


def hash_field(
    points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec, weights: Sequence[Float[Tensor, "_ _"]]
) -> SlopedField:
    """Compiled form of `bozzetto.kernels.api.hash_field`, once differentiable; encoding and slope are transposed."""
    apply: Callable[..., tuple[Tensor, Tensor, Tensor]] = _HashField.apply  # not annotated in torch
    value, encoded, slope = apply(points.detach().t().contiguous(), table, *mlp.packed(weights), spec.text)
    return SlopedField(value, encoded.t(), slope.t())


class _HashField(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, points: Tensor, table: Tensor, weights: Tensor, widths: list[int], grid: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        encoded = gather(points, None, table, grid)
        value, network_slope = mlp.slope(encoded, weights, widths)
        ctx.save_for_backward(points, table, weights, encoded, network_slope)
        ctx.widths, ctx.grid = widths, grid
        ctx.set_materialize_grads(False)
        return value, encoded, pull(points, None, table, network_slope, grid)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, to_value: Tensor | None, to_encoded: Tensor | None, to_slope: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        points, table, weights, encoded, network_slope = ctx.saved_tensors
        along = None if to_slope is None else to_slope.contiguous()
        parts = [] if to_value is None else [to_value * encoded]
        parts += [] if along is None else [gather(points, along, table, ctx.grid)]
        grad_weights = None
        if parts and ctx.needs_input_grad[2]:
            tangent = parts[0] if len(parts) == 1 else parts[0].add_(parts[1])
            ones = torch.ones_like(encoded[:1])
            _, grad_weights = mlp.backward(encoded, tangent, weights, ones, ctx.widths, False, True)
        grads = [] if to_encoded is None else [to_encoded]
        grads += [] if to_value is None else [to_value * network_slope]
        plain = None if not grads else grads[0] if len(grads) == 1 else grads[0] + grads[1]
        grad_table = None
        if ctx.needs_input_grad[1]:
            if along is not None:
                grad_table = scatter(points, along, network_slope, plain, ctx.grid)
            elif plain is not None:
                grad_table = scatter(points, None, plain, None, ctx.grid)
        return None, grad_table, grad_weights, None, None
