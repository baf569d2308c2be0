"""Tests of hash encoding against an independent encoder in plain Python, and of its derivatives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from bozzetto.kernels.api import Backend, hash_encode
from bozzetto.kernels.grid_spec import GridSpec, Interpolation

# Dense and hashed levels, a fractional resolution, and points on both sides of the border.
SMALL = {"levels": 4, "log2_table_size": 9, "base_resolution": 3, "growth": 1.9}


def spec_of(features: int = 2, interpolation: Interpolation = "linear") -> GridSpec:
    return GridSpec(features=features, interpolation=interpolation, **SMALL)


def encode_by_hand(points: np.ndarray, table: np.ndarray, spec: GridSpec) -> np.ndarray:
    """Encode one point, one level, one corner at a time, with independently derived offsets."""
    encoded = np.zeros((len(points), spec.levels * spec.features))
    offset = 0
    for level in range(spec.levels):
        scale = float(np.float32(spec.base_resolution * spec.growth**level - 1))
        resolution = math.ceil(scale) + 1
        size = min((resolution**3 + 7) // 8 * 8, 2**spec.log2_table_size)
        for number, point in enumerate(points):
            position = np.clip(point, 0, 1) * scale + 0.5
            cell = np.floor(position)
            blend = position - cell
            if spec.interpolation == "smoothstep":
                blend = 3 * blend**2 - 2 * blend**3
            for corner in itertools.product((0, 1), repeat=3):
                x, y, z = (int(c) + d for c, d in zip(cell, corner, strict=True))
                if resolution**3 <= 2**spec.log2_table_size:
                    row = (x + y * resolution + z * resolution * resolution) % size
                else:
                    row = (x ^ (y * 2654435761 % 2**32) ^ (z * 805459861 % 2**32)) % size
                weight = math.prod(b if d else 1 - b for b, d in zip(blend, corner, strict=True))
                start = level * spec.features
                encoded[number, start : start + spec.features] += weight * table[offset + row]
        offset += size
    assert offset == len(table)
    return encoded


def inputs(spec: GridSpec, count: int = 40, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    points = torch.rand(count, 3, generator=generator) * 1.2 - 0.1
    table = torch.randn(spec.entry_count, spec.features, generator=generator)
    return points.to(dtype), table.to(dtype)


def test_the_spec_has_dense_and_hashed_levels() -> None:
    assert {level.hashed for level in spec_of().table} == {False, True}


@pytest.mark.parametrize("interpolation", ["linear", "smoothstep"])
@pytest.mark.parametrize("features", [1, 2, 4, 8])
def test_equals_the_encoder_written_by_hand(backend: Backend, features: int, interpolation: Interpolation) -> None:
    spec = spec_of(features, interpolation)
    points, table = inputs(spec, count=70)
    points[:2] = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 1.0]])
    expected = encode_by_hand(points.double().numpy(), table.double().numpy(), spec)
    found = hash_encode(points, table, spec, backend=backend)
    torch.testing.assert_close(found, torch.from_numpy(expected).float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("interpolation", ["linear", "smoothstep"])
def test_gradients_of_the_torch_form_are_right_to_second_order(interpolation: Interpolation) -> None:
    spec = GridSpec(2, 1, 3, 2, 2.0, interpolation)
    points, table = inputs(spec, count=3, dtype=torch.float64)
    points.requires_grad_(), table.requires_grad_()
    torch.autograd.gradcheck(lambda p, t: hash_encode(p, t, spec), (points, table))
    torch.autograd.gradgradcheck(lambda p, t: hash_encode(p, t, spec), (points, table))


def derivatives(backend: Backend, spec: GridSpec, dtype: torch.dtype, count: int = 200) -> list[Tensor]:
    """Return first derivatives, and second derivatives through both of them."""
    points, table = (tensor.requires_grad_() for tensor in inputs(spec, count, dtype))
    generator = torch.Generator().manual_seed(8)
    draw = [(count, spec.feature_count), (count, 3), (spec.entry_count, spec.features)]
    grad, tangent, direction = (torch.randn(shape, generator=generator).to(dtype) for shape in draw)
    grad.requires_grad_()
    encoded = hash_encode(points, table, spec, backend=backend)
    first = torch.autograd.grad(encoded, (points, table), grad, create_graph=True)
    of_points = torch.autograd.grad(first[0], (points, table, grad), tangent, retain_graph=True)
    of_table = torch.autograd.grad(first[1], (points, grad), direction)
    return [*first, *of_points, *of_table]


@pytest.mark.parametrize("interpolation", ["linear", "smoothstep"])
@pytest.mark.parametrize("features", [1, 2, 4, 8])
def test_first_and_second_derivatives_agree(backend: Backend, features: int, interpolation: Interpolation) -> None:
    spec = spec_of(features, interpolation)
    for found, exact in zip(
        derivatives(backend, spec, torch.float32), derivatives("torch", spec, torch.float64), strict=True
    ):
        scale = float(exact.detach().abs().max())
        torch.testing.assert_close(found.double(), exact, atol=3e-5 * scale, rtol=0)


def test_points_outside_are_clamped_and_get_no_gradient(backend: Backend) -> None:
    spec = spec_of()
    _, table = inputs(spec)
    points = torch.tensor([[-0.5, 0.3, 0.3], [1.5, 0.3, 0.3]], requires_grad=True)
    encoded = hash_encode(points, table, spec, backend=backend)
    (grad,) = torch.autograd.grad(encoded.sum(), points)
    assert torch.equal(encoded, hash_encode(points.detach().clamp(0, 1), table, spec, backend=backend))
    assert torch.equal(grad[:, 0], torch.zeros(2))
    assert bool((grad[:, 1:] != 0).all())


def test_a_point_that_is_not_a_number_gives_nan_and_touches_no_other(backend: Backend) -> None:
    spec = spec_of()
    points, table = inputs(spec, count=3)
    clean = hash_encode(points, table, spec, backend=backend)
    points[1, 2] = math.nan
    found = hash_encode(points, table, spec, backend=backend)
    assert bool(found[1].isnan().all())
    assert torch.equal(found[[0, 2]], clean[[0, 2]])


def test_no_points(backend: Backend) -> None:
    spec = spec_of()
    _, table = inputs(spec)
    points = torch.zeros(0, 3, requires_grad=True)
    table.requires_grad_()
    encoded = hash_encode(points, table, spec, backend=backend)
    assert encoded.shape == (0, spec.feature_count)
    to_points, to_table = torch.autograd.grad(encoded.sum(), (points, table))
    assert to_points.shape == (0, 3)
    assert torch.equal(to_table, torch.zeros_like(table))


def test_inputs_may_be_strided(backend: Backend) -> None:
    spec = spec_of()
    points, table = inputs(spec)
    strided = points.t().contiguous().t()
    assert torch.equal(
        hash_encode(strided, table, spec, backend=backend), hash_encode(points, table, spec, backend=backend)
    )


def test_same_bits_with_one_thread_and_two(same_bits_on_two_threads: Callable) -> None:
    same_bits_on_two_threads(lambda: derivatives("cpp", spec_of(), torch.float32, count=6000))


def test_a_third_derivative_is_refused_not_wrong(backend: Backend) -> None:
    if backend == "torch":
        pytest.skip("the torch form has all derivatives")
    spec = spec_of()
    points, table = (tensor.requires_grad_() for tensor in inputs(spec))
    encoded = hash_encode(points, table, spec, backend=backend)
    (first,) = torch.autograd.grad(encoded.square().sum(), points, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), points, create_graph=True)
    with pytest.raises(RuntimeError, match="no third derivatives"):
        second.sum().backward()


def test_a_table_of_another_grid_is_an_error(backend: Backend) -> None:
    with pytest.raises(ValueError, match=r"table: expected shape"):
        hash_encode(torch.zeros(1, 3), torch.zeros(8, 2), spec_of(), backend=backend)
