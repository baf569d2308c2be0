"""Tests that the contract of adaptive geometries holds for one that keeps it, and fails for one fault each."""

import pytest
import torch
from torch import nn

from bozzetto.kinds.geometry import RowChange
from bozzetto.testing.adaptive import assert_adapts_by_contract
from bozzetto.testing.scenes import SoftSphere


class Points(SoftSphere):
    """Points beside a ball: every second step the one of largest gradient is doubled."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.position = nn.Parameter(torch.randn(4, 3))
        self.register_buffer("length", torch.zeros(4))

    def adapt(self, done, generator):
        self.length += self.position.grad.norm(dim=-1)
        return None if done % 2 else {"position": self.doubled(generator)}

    def doubled(self, generator):
        source = torch.cat([torch.arange(len(self.length)), self.length.topk(1).indices])
        values = self.position[source] + 0.01 * torch.randn(len(source), 3, generator=generator)
        self.length = self.length.new_zeros(len(source))
        return RowChange(values, source, torch.arange(len(source)) >= len(source) - 1)


class Reads(Points):
    def adapt(self, done, generator):
        if float(self.position.grad.max()) > 100.0:
            return None
        return super().adapt(done, generator)


class Masks(Points):
    def adapt(self, done, generator):
        self.length[self.position.grad.norm(dim=-1) > 0.0] += 1.0
        return super().adapt(done, generator)


class Draws(Points):
    def adapt(self, done, generator):
        torch.rand(1, generator=generator)
        return super().adapt(done, generator)


class Guesses(Points):
    def doubled(self, generator):
        return super().doubled(torch.Generator().manual_seed(torch.seed() % 2**60))


class Sets(Points):
    def doubled(self, generator):
        change = super().doubled(generator)
        self.position = nn.Parameter(change.values)
        return change


class Forgets(Points):
    """Accumulates outside of buffers."""

    def __init__(self):
        super().__init__()
        del self.length
        self.length = torch.zeros(4)


class Waits(Points):
    def adapt(self, done, generator):
        return super().adapt(done, generator) if done > 2 else None


class Hurries(Points):
    def adapt(self, done, generator):
        return super().adapt(2 * done, generator)


def backward(geometry):
    weight = torch.linspace(1.0, 2.0, geometry.position.numel()).view_as(geometry.position)
    ((geometry.position * weight).square().sum() + geometry.log_density + geometry.feature.sum()).backward()


def test_one_that_keeps_it_passes():
    assert_adapts_by_contract(Points, backward, 2)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Reads, "reads values of tensors"),
        (Masks, "reads values of tensors"),
        (Draws, "drew random numbers"),
        (Guesses, "the same parameters, gradients and random numbers gave other changes: values of position"),
        (Sets, "adapt changed position itself"),
        (Forgets, "must match the size"),
        (Waits, "set adapts_after to the number"),
        (Hurries, "set adapts_after = 1"),
    ],
)
def test_a_fault_is_named(kind, fault):
    with pytest.raises((AssertionError, RuntimeError), match=fault):
        assert_adapts_by_contract(kind, backward, 2)
