"""Torch reference of a small fully connected network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Activation = Literal["relu", "silu", "softplus"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "silu": functional.silu,
    "softplus": functional.softplus,
}


def mlp(
    x: Float[Tensor, "N I"],
    weights: Sequence[Float[Tensor, "_ _"]],
    biases: Sequence[Float[Tensor, "_"]] | None = None,
    activation: Activation = "relu",
    compute_dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "N O"]:
    """Evaluate hidden layers in `compute_dtype`, and the last layer, without activation, in the weights' own type.

    `weights[i]` is "out in", as in `torch.nn.Linear`; `biases[i]` is "out". bfloat16 halves the time on current CPUs
    with a relative error of about 0.5 % in hidden values, which is why the last layer stays exact.

    Raises:
        ValueError: no weights, or wrong number of biases.
    """
    if not weights:
        raise ValueError("weights: at least one layer is needed")
    if biases is not None and len(biases) != len(weights):
        raise ValueError(f"biases: expected {len(weights)}, one per layer, got {len(biases)}")
    activate = ACTIVATIONS[activation]
    hidden = x
    for layer, weight in enumerate(weights):
        last = layer == len(weights) - 1
        dtype = weight.dtype if last else compute_dtype
        bias = None if biases is None else biases[layer].to(dtype)
        hidden = functional.linear(hidden.to(dtype), weight.to(dtype), bias)
        if not last:
            hidden = activate(hidden)
    return hidden
