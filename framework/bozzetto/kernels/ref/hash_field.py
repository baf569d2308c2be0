"""Torch reference of a scalar field, a small network on a hash encoding, with its spatial gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class SlopedField(NamedTuple):
    """Scalar field and its gradient at N points."""

    value: Float[Tensor, "N"]
    encoded: Float[Tensor, "N LF"]
    """Encoded points, the network's input."""
    slope: Float[Tensor, "N 3"]
    """Gradient of the value with respect to the points."""


def hash_field(
    points: Float[Tensor, "N 3"],
    encode: Callable[[Float[Tensor, "N 3"]], Float[Tensor, "N LF"]],
    network: Callable[[Float[Tensor, "N LF"]], Float[Tensor, "N 1"]],
) -> SlopedField:
    """Evaluate `network(encode(points))` and its gradient with respect to the points by autograd.

    Differentiable if both functions are twice differentiable.
    """
    differentiable = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        at = points.detach().clone().requires_grad_()
        encoded = encode(at)
        value = network(encoded)[:, 0]
        (slope,) = torch.autograd.grad(value.sum(), at, create_graph=differentiable, materialize_grads=True)
    found = SlopedField(value, encoded, slope)
    return found if differentiable else SlopedField(*(tensor.detach() for tensor in found))
