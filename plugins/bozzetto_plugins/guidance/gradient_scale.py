"""Gradients that pass through a network in half precision, whatever their size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST = 1e-30
"""Gradients below this count as none: their scale would overflow."""


def scaled_backward(
    network: Callable[[Float[Tensor, "B *I"]], Float[Tensor, "B *O"]], inputs: Float[Tensor, "B *I"]
) -> Float[Tensor, "B *O"]:
    """`network(inputs)`, a function of each view alone, with each view's gradient scaled to about 1 on the way back.

    float16 loses numbers below 6e-8, and a gradient shrinks further inside an encoder: a small loss weight would leave
    nothing of it. So the gradient that arrives at the outputs is multiplied by a power of two, which rounds nothing,
    and what leaves at the inputs is divided by it: loss scaling (Micikevicius et al. 2018, Mixed Precision Training,
    sec. 3.2), for each view and without waiting for the device.
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
