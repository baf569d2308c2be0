"""Compiled small ReLU networks: the operators `bozzetto::mlp` and `bozzetto::mlp_backward`.

Without biases a ReLU network is linear where no unit changes sign. The derivative along a tangent therefore uses the
same layers with the signs at the point. Both operators accept a tangent, which provides the second derivatives that
normals need. All per-point tensors are feature-major, "I N"; the weights of all layers are packed into one tensor.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.library import register_autograd

from bozzetto.kernels.cpp.native import NativeError, call
from bozzetto.kernels.operators.operator import CPP, operator

MOST_WIDTH = 128
"""Maximum layer width, `kMostWidth` of mlp.cpp."""

PIECE = 4096
"""Points whose gradients are summed together, `kPiece` of mlp.cpp."""


def takes(weights: Sequence[Tensor], biases: object, activation: str, compute_dtype: torch.dtype) -> bool:
    """Return whether the compiled kernel supports this network; torch is as fast for wider ones."""
    narrow = all(width <= MOST_WIDTH for weight in weights for width in weight.shape)
    return len(weights) > 0 and narrow and biases is None and activation == "relu" and compute_dtype == torch.float32


def mlp(x: Float[Tensor, "N I"], weights: Sequence[Float[Tensor, "_ _"]]) -> Float[Tensor, "N O"]:
    """Compiled form of `bozzetto.kernels.ref.mlp.mlp` for supported networks (`takes`). Returns a transposed view.

    Differentiable; its gradient with respect to x is differentiable once more (torch reference: any number of times).
    """
    return forward(x.t(), None, *packed(weights)).t()


def packed(weights: Sequence[Float[Tensor, "_ _"]]) -> tuple[Float[Tensor, "W"], list[int]]:
    """Pack all weights into one tensor, and return the widths of the layers."""
    return torch.cat([weight.flatten() for weight in weights]), [weights[0].shape[1], *(len(w) for w in weights)]


def _run(x: Tensor, tangent: Tensor | None, weights: Tensor, widths: list[int]) -> Tensor:
    out = _fake(x, tangent, weights, widths)
    known = (x.contiguous(), None if tangent is None else tangent.contiguous(), weights.contiguous())
    call("mlp", *_layers(widths), x.shape[1], *known, out)
    return out


def _fake(x: Tensor, tangent: Tensor | None, weights: Tensor, widths: list[int]) -> Tensor:
    return x.new_empty(widths[-1], x.shape[1])


def _layers(widths: list[int]) -> tuple[int, ctypes.Array[ctypes.c_int64]]:
    return len(widths) - 1, (ctypes.c_int64 * len(widths))(*widths)


def _run_backward(
    x: Tensor, tangent: Tensor | None, weights: Tensor, grad: Tensor, widths: list[int], to_x: bool, to_weights: bool
) -> tuple[Tensor, Tensor]:
    grad_x, grad_weights = _fake_backward(x, tangent, weights, grad, widths, to_x, to_weights)
    points = x.shape[1]
    scratch = weights.new_empty(math.ceil(points / PIECE) * grad_weights.numel())
    known = (x.contiguous(), None if tangent is None else tangent.contiguous(), weights.contiguous(), grad.contiguous())
    wanted = (grad_x if to_x else None, grad_weights if to_weights else None)
    call("mlp_backward", *_layers(widths), points, *known, *wanted, scratch)
    return grad_x, grad_weights


def _fake_backward(
    x: Tensor, tangent: Tensor | None, weights: Tensor, grad: Tensor, widths: list[int], to_x: bool, to_weights: bool
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape if to_x else 0), weights.new_empty(weights.shape if to_weights else 0)


forward = operator(CPP, "mlp", "(Tensor x, Tensor? tangent, Tensor weights, int[] widths) -> Tensor", _run, _fake)
"""Output "O N" of the layers at x "I N"; with a tangent "I N", the derivative along it."""

backward = operator(
    CPP,
    "mlp_backward",
    "(Tensor x, Tensor? tangent, Tensor weights, Tensor grad, int[] widths, bool to_x, bool to_weights)"
    " -> (Tensor, Tensor)",
    _run_backward,
    _fake_backward,
)
"""Gradients of grad "O N" to x and to the weights; those not requested are empty. With a tangent, the gradient to the
weights is that of the derivative along it; the gradient to x is unchanged.
"""


def _run_slope(x: Tensor, weights: Tensor, widths: list[int]) -> tuple[Tensor, Tensor]:
    out, to_x = _fake_slope(x, weights, widths)
    call("mlp_slope", *_layers(widths), x.shape[1], x.contiguous(), weights.contiguous(), out, to_x)
    return out, to_x


def _fake_slope(x: Tensor, weights: Tensor, widths: list[int]) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[1]), x.new_empty(x.shape)


slope = operator(
    CPP, "mlp_slope", "(Tensor x, Tensor weights, int[] widths) -> (Tensor, Tensor)", _run_slope, _fake_slope
)
"""Output "N" of a network with one output, and its gradient with respect to x, "I N". Not differentiable."""


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, tangent, weights, ctx.widths = inputs
    ctx.save_for_backward(x, tangent, weights)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, tangent, weights = ctx.saved_tensors
    to_x, to_tangent, to_weights, _ = ctx.needs_input_grad
    if tangent is None:
        grad_x, grad_weights = backward(x, None, weights, grad, ctx.widths, to_x, to_weights)
        return grad_x if to_x else None, None, grad_weights if to_weights else None, None
    # The derivative along a tangent is linear in the tangent, and independent of x between sign changes.
    grad_tangent, grad_weights = backward(x, tangent, weights, grad, ctx.widths, to_tangent, to_weights)
    return None, grad_tangent if to_tangent else None, grad_weights if to_weights else None, None


def _keep_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, tangent, weights, grad, ctx.widths, _, _ = inputs
    ctx.save_for_backward(x, tangent, weights, grad)
    ctx.set_materialize_grads(False)


def _differentiate_backward(
    ctx: Any, along_x: Tensor | None, along_weights: Tensor | None
) -> tuple[Tensor | None, ...]:
    x, tangent, weights, grad = ctx.saved_tensors
    if along_weights is not None or tangent is not None:
        raise NativeError("mlp: the compiled form has second derivatives in x only; backend='torch' has all")
    if along_x is None:
        return (None,) * 7
    to_weights, to_grad = ctx.needs_input_grad[2:4]
    grad_weights = backward(x, along_x, weights, grad, ctx.widths, False, True)[1] if to_weights else None
    grad_grad = forward(x, along_x, weights, ctx.widths) if to_grad else None
    return None, None, grad_weights, grad_grad, None, None, None


register_autograd("bozzetto::mlp", _differentiate, setup_context=_keep)
register_autograd("bozzetto::mlp_backward", _differentiate_backward, setup_context=_keep_backward)
