"""Compiled scalar field on a hash encoding with its spatial gradient, see `bozzetto.kernels.operators.hash_field`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.kernels.cpp import mlp
from bozzetto.kernels.cpp.hash_encode import OPERATORS
from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.operators import hash_field as field
from bozzetto.kernels.ref.hash_field import SlopedField


def hash_field(
    points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec, weights: Sequence[Float[Tensor, "_ _"]]
) -> SlopedField:
    """Compiled form of `bozzetto.kernels.api.hash_field`, once differentiable; encoding and slope are transposed."""
    at = points.detach().t().contiguous()
    value, encoded, slope = field.hash_field(KERNELS, at, table, *mlp.packed(weights), spec.text)
    return SlopedField(value, encoded.t(), slope.t())


def _along(encoded: Tensor, tangent: Tensor, weights: Tensor, widths: list[int]) -> Tensor:
    return mlp.backward(encoded, tangent, weights, torch.ones_like(encoded[:1]), widths, False, True)[1]


KERNELS = field.FieldKernels(OPERATORS, mlp.slope, _along)
