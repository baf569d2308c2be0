"""A scalar field, a small network on a hash encoding, together with its slope."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class SlopedField(NamedTuple):
    """A field at some points."""

    value: Float[Tensor, "N"]
    encoded: Float[Tensor, "N LF"]
    """What the network read."""
    slope: Float[Tensor, "N 3"]
    """The gradient of the value in the points."""


def hash_field(
    points: Float[Tensor, "N 3"],
    encode: Callable[[Float[Tensor, "N 3"]], Float[Tensor, "N LF"]],
    network: Callable[[Float[Tensor, "N LF"]], Float[Tensor, "N 1"]],
) -> SlopedField:
    """The field `network(encode(points))`, and its slope by differentiating it; differentiable if both are twice."""
    differentiable = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        at = points.detach().clone().requires_grad_()
        encoded = encode(at)
        value = network(encoded)[:, 0]
        (slope,) = torch.autograd.grad(value.sum(), at, create_graph=differentiable, materialize_grads=True)
    found = SlopedField(value, encoded, slope)
    return found if differentiable else SlopedField(*(tensor.detach() for tensor in found))
