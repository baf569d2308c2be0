"""Tests of chunks that are recomputed in the backward pass: equal numbers, less memory."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bozzetto.kernels import first_order
from bozzetto.kernels.api import GridSpec, hash_encode, hash_field

SPEC = GridSpec(levels=8, log2_table_size=8, base_resolution=4, growth=1.5, interpolation="smoothstep")
POINTS = 1000

Field = Callable[[Tensor, Tensor, list[Tensor]], tuple[Tensor, ...]]


class Kept:
    """Reference to a tensor as long as autograd keeps it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def field(points: Tensor, table: Tensor, weights: list[Tensor]) -> tuple[Tensor, ...]:
    return tuple(hash_field(points, table, SPEC, weights, backend="torch"))


def encoding(points: Tensor, table: Tensor, weights: list[Tensor]) -> tuple[Tensor, ...]:
    return (hash_encode(points, table, SPEC, backend="torch"),)


def run(function: Field, part: int = POINTS) -> tuple[list[Tensor], list[Tensor], int]:
    """Return outputs, gradients in points, table and weights, and the bytes kept for backward, without the inputs.

    With `part`, call the function on this many points at a time, without recomputation.
    """
    generator = torch.Generator().manual_seed(5)
    points = torch.rand(POINTS, 3, generator=generator).requires_grad_()
    table = torch.randn(SPEC.entry_count, SPEC.features, generator=generator).requires_grad_()
    weights = [
        torch.randn(out, into, generator=generator).div(into**0.5).requires_grad_()
        for into, out in itertools.pairwise((SPEC.feature_count, 16, 1))
    ]
    inputs, kept = (points, table, *weights), weakref.WeakSet[Kept]()

    def keep(tensor: Tensor) -> Kept:
        kept.add(held := Kept(tensor))
        return held

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda held: held.tensor):
        parts = [function(at, table, weights) for at in points.split(part)]
    storages = {held.tensor.untyped_storage().data_ptr(): held.tensor.untyped_storage().nbytes() for held in kept}
    for tensor in inputs:
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    outputs = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]
    loss = sum((out * torch.randn(out.shape, generator=generator)).sum() for out in outputs)
    gradients = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
    return outputs, list(gradients), sum(storages.values())


@pytest.mark.parametrize("function", [field, encoding])
def test_chunks_give_the_bits_of_the_same_chunks_kept(function: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_outputs, kept_gradients, kept_bytes = run(function, part=100)
    monkeypatch.setattr(first_order, "CHUNK", 100)
    outputs, gradients, left_bytes = run(function)
    for one, other in zip([*outputs, *gradients], [*kept_outputs, *kept_gradients], strict=True):
        assert torch.equal(one, other)
    assert left_bytes < 0.03 * kept_bytes


@pytest.mark.parametrize("function", [field, encoding])
def test_chunks_differ_from_the_whole_by_rounding_alone(function: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(function)
    monkeypatch.setattr(first_order, "CHUNK", 64)
    parts = run(function)
    for one, other in zip([*parts[0], *parts[1]], [*whole[0], *whole[1]], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.detach().abs().max()))


def test_a_second_derivative_of_chunks_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> Tensor:
        table = torch.linspace(-1.0, 1.0, SPEC.entry_count * SPEC.features, dtype=torch.float64)
        points = torch.rand(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        encoded = hash_encode(points, table.view(-1, SPEC.features), SPEC, backend="torch")
        (slope,) = torch.autograd.grad(encoded.square().sum(), points, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), points)[0]

    whole = twice()
    monkeypatch.setattr(first_order, "CHUNK", 7)
    torch.testing.assert_close(twice(), whole)


def test_what_is_not_asked_for_gets_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_order, "CHUNK", 2)
    points, table = torch.rand(5, 3), torch.zeros(SPEC.entry_count, SPEC.features)
    assert not hash_encode(points, table, SPEC, backend="torch").requires_grad
    with torch.no_grad():
        assert not hash_encode(points, table.requires_grad_(), SPEC, backend="torch").requires_grad
