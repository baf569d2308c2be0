"""Per-view gradient scaling for networks in half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST = 1e-30
"""Gradients below this count as zero: their scale would overflow."""


def scaled_backward(
    network: Callable[[Float[Tensor, "B *I"]], Float[Tensor, "B *O"]], inputs: Float[Tensor, "B *I"]
) -> Float[Tensor, "B *O"]:
    """Return `network(inputs)`, with each view's gradient scaled to about 1 inside the network on the backward pass.

    float16 flushes numbers below 6e-8 to zero, and gradients shrink further inside an encoder: a small loss weight
    would leave nothing. The gradient at the outputs is multiplied by a power of two, which is exact, and the gradient
    at the inputs divided by it: loss scaling (Micikevicius et al. 2018, Mixed Precision Training, sec. 3.2), per view
    and without device synchronisation. `network` must treat each view independently.
    """
    scale: list[Tensor] = []
    up: Callable[[Tensor, list[Tensor]], Tensor] = _ScaleUp.apply  # not annotated in torch
    down: Callable[[Tensor, list[Tensor]], Tensor] = _ScaleDown.apply
    return up(network(down(inputs, scale)), scale)


class _ScaleUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, outputs: Tensor, scale: list[Tensor]) -> Tensor:
        ctx.scale = scale
        return outputs.view_as(outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        largest = gradient.abs().flatten(1).amax(dim=1)
        exponent = torch.frexp(largest.clamp(min=SMALLEST)).exponent
        factor = torch.where(largest >= SMALLEST, torch.exp2(-exponent.to(largest.dtype)), 1.0)
        ctx.scale[:] = [factor]
        return gradient * _as_column(factor, gradient), None


class _ScaleDown(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, scale: list[Tensor]) -> Tensor:
        ctx.scale = scale
        return inputs.view_as(inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient / _as_column(ctx.scale[0], gradient), None


def _as_column(factor: Float[Tensor, "B"], like: Tensor) -> Tensor:
    return factor.view(-1, *(1,) * (like.ndim - 1))
