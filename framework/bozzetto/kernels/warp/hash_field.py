"""Scalar field on a hash encoding with Warp, see `bozzetto.kernels.operators.hash_field`.

Matrix products of these sizes are what torch is best at: only the encoding needs kernels of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.operators import hash_field as field
from bozzetto.kernels.ref.hash_field import SlopedField
from bozzetto.kernels.warp.hash_encode import OPERATORS


def hash_field(
    points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec, weights: Sequence[Float[Tensor, "_ _"]]
) -> SlopedField:
    """Warp form of `bozzetto.kernels.api.hash_field`, once differentiable; encoding and slope are transposed."""
    at = points.detach().t().contiguous()
    packed = torch.cat([weight.flatten() for weight in weights])
    widths = [weights[0].shape[1], *(len(weight) for weight in weights)]
    value, encoded, slope = field.hash_field(KERNELS, at, table, packed, widths, spec.text)
    return SlopedField(value, encoded.t(), slope.t())


def _layers(weights: Tensor, widths: list[int]) -> list[Tensor]:
    """Return the weights "out in" of each layer."""
    shapes = list(itertools.pairwise(widths))
    parts = weights.split([into * out for into, out in shapes])
    return [part.view(out, into) for part, (into, out) in zip(parts, shapes, strict=True)]


def _hidden(encoded: Tensor, layers: list[Tensor]) -> list[Tensor]:
    """Return the inputs of all layers."""
    found = [encoded]
    for layer in layers[:-1]:
        found.append(torch.relu_(layer @ found[-1]))
    return found


def _slope(encoded: Tensor, weights: Tensor, widths: list[int]) -> tuple[Tensor, Tensor]:
    """Value "N" of the network, and its gradient to the encoding."""
    layers = _layers(weights, widths)
    hidden = _hidden(encoded, layers)
    value = layers[-1] @ hidden[-1]
    slope = layers[-1].t().expand(-1, encoded.shape[1])
    for layer, at in zip(reversed(layers[:-1]), reversed(hidden[1:]), strict=True):
        slope = layer.t() @ torch.where(at > 0, slope, 0.0)
    return value[0], slope.contiguous()


def _along(encoded: Tensor, tangent: Tensor, weights: Tensor, widths: list[int]) -> Tensor:
    """Gradient, to the weights, of the network's derivative along a tangent, summed over the points."""
    layers = _layers(weights, widths)
    hidden = _hidden(encoded, layers)
    tangents = [tangent]
    for layer, at in zip(layers[:-1], hidden[1:], strict=True):
        tangents.append(torch.where(at > 0, layer @ tangents[-1], 0.0))
    grads = [tangents[-1].sum(dim=1)[None]]
    grad = layers[-1].t().expand(-1, encoded.shape[1])
    for number in range(len(layers) - 2, -1, -1):
        grad = torch.where(hidden[number + 1] > 0, grad, 0.0)
        grads.append(grad @ tangents[number].t())
        grad = layers[number].t() @ grad if number else grad
    return torch.cat([part.flatten() for part in reversed(grads)])


KERNELS = field.FieldKernels(OPERATORS, _slope, _along)
