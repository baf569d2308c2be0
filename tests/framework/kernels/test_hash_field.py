"""Tests of a scalar field on a hash encoding, with its gradient: against autograd and finite differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bozzetto.kernels.api import Backend, GridSpec, SlopedField, hash_encode, hash_field, mlp

SPEC = GridSpec(levels=3, log2_table_size=9, base_resolution=3, growth=1.9, interpolation="smoothstep")


def inputs(dtype: torch.dtype = torch.float32, count: int = 150) -> tuple[Tensor, Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(5)
    points = torch.rand(count, 3, generator=generator, dtype=dtype) * 0.9 + 0.05
    table = torch.randn(SPEC.entry_count, SPEC.features, generator=generator, dtype=dtype)
    widths = (SPEC.feature_count, 16, 16, 1)
    weights = [
        torch.randn(out, into, generator=generator, dtype=dtype) / into**0.5 for into, out in itertools.pairwise(widths)
    ]
    return points, table.requires_grad_(), [weight.requires_grad_() for weight in weights]


def gradients(backend: Backend, parts: str, count: int = 150) -> list[Tensor]:
    """Return gradients in the table and the weights, of a sum of some of the value, the encoding and the slope."""
    points, table, weights = inputs(count=count)
    field = hash_field(points, table, SPEC, weights, backend=backend)
    generator = torch.Generator().manual_seed(6)
    chosen = [getattr(field, part) for part in parts.split()]
    loss = sum((part * torch.randn(part.shape, generator=generator)).sum() for part in chosen)
    return list(torch.autograd.grad(loss, (table, *weights), allow_unused=True))


def test_it_is_what_encoding_and_network_give(backend: Backend) -> None:
    points, table, weights = inputs()
    field = hash_field(points, table, SPEC, weights, backend=backend)
    at = points.clone().requires_grad_()
    encoded = hash_encode(at, table, SPEC, backend="torch")
    value = mlp(encoded, weights, backend="torch")[:, 0]
    (slope,) = torch.autograd.grad(value.sum(), at)
    torch.testing.assert_close(field, SlopedField(value, encoded, slope), atol=1e-5, rtol=1e-4)


def test_the_slope_is_that_of_the_value() -> None:
    points, table, weights = inputs(torch.float64)
    field = hash_field(points, table, SPEC, weights)
    eps = 1e-7

    def value(shift: Tensor) -> Tensor:
        return hash_field(points + shift, table, SPEC, weights).value

    sides = [(value(eps * axis) - value(-eps * axis)) / (2 * eps) for axis in torch.eye(3, dtype=torch.float64)]
    near = torch.stack(sides, dim=-1)
    # A few points are where a ReLU changes sign.
    assert float(((field.slope - near).abs() < 1e-5).double().mean()) > 0.99


@pytest.mark.parametrize("parts", ["value", "slope", "encoded", "value slope", "value encoded", "value encoded slope"])
def test_gradients_are_those_of_autograd(backend: Backend, parts: str) -> None:
    found, exact = gradients(backend, parts), gradients("torch", parts)
    for one, other in zip(found, exact, strict=True):
        one, other = (torch.zeros(1) if grad is None else grad for grad in (one, other))
        torch.testing.assert_close(one, other.expand_as(one), atol=1e-4, rtol=1e-3)


def test_same_bits_with_one_thread_and_two(same_bits_on_two_threads: Callable) -> None:
    same_bits_on_two_threads(lambda: gradients("cpp", "value encoded slope", count=9000))


def test_without_gradients_nothing_is_kept(backend: Backend) -> None:
    points, table, weights = inputs()
    with torch.no_grad():
        field = hash_field(points, table, SPEC, weights, backend=backend)
    assert not any(tensor.requires_grad for tensor in field)
    empty = hash_field(points[:0], table, SPEC, weights, backend=backend)
    assert (empty.value.shape, empty.encoded.shape, empty.slope.shape) == ((0,), (0, 6), (0, 3))


def test_a_network_of_several_outputs_is_refused() -> None:
    points, table, weights = inputs()
    with pytest.raises(ValueError, match="weights: the last layer must have one output"):
        hash_field(points, table, SPEC, weights[:-1])
