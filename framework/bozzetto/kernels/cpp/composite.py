"""Compiled compositing: the operators of `bozzetto.kernels.operators.composite` in C++."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.cpp.native import NativeError, status
from bozzetto.kernels.operators.composite import (
    Parts,
    composite_operator,
    fake_composite,
    fake_composite_backward,
)
from bozzetto.kernels.operators.operator import CPP
from bozzetto.math.compositing import Composited

BAD_OFFSETS = -2
"""Status code `kBadOffsets` of composite.cpp."""


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
    outputs = fake_composite(density, t_start, t_end, values, offsets)
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
    to_density, to_values = fake_composite_backward(t_start, t_end, values)
    rows = offsets.to(torch.int64).contiguous()
    known = (t_start.contiguous(), t_end.contiguous(), values.contiguous(), weights.contiguous(), after.contiguous())
    grads = (grad_weights, grad_accumulated, grad_opacity, grad_depth)
    into = [None if grad is None else grad.contiguous() for grad in grads]
    code = status("composite_backward", len(rows) - 1, values.shape[1], rows, *known, *into, to_density, to_values)
    if code != 0:
        raise NativeError(f"bozzetto_composite_backward failed with code {code}")
    return to_density, to_values


_composite = composite_operator(CPP, _run, _run_backward)
