"""Tests of compositing against a Python loop, both forms, with derivatives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bozzetto.kernels.api import Backend, Composited, composite

COUNTS = (3, 0, 1, 5, 0, 2)


def packed(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return density, t_start, t_end, values, offsets; some rays have no samples, some gaps between samples."""
    generator = torch.Generator().manual_seed(5)
    samples = sum(COUNTS)
    density = torch.rand(samples, generator=generator, dtype=dtype) * 8
    t_start = torch.arange(samples, dtype=dtype) * 0.3
    t_end = t_start + 0.1 + 0.2 * torch.rand(samples, generator=generator, dtype=dtype)
    values = torch.randn(samples, 3, generator=generator, dtype=dtype)
    return density, t_start, t_end, values, torch.tensor([0, *COUNTS]).cumsum(0)


def composite_by_hand(density: Tensor, t_start: Tensor, t_end: Tensor, values: Tensor, offsets: Tensor) -> Composited:
    weights = torch.zeros_like(density)
    accumulated, opacity, depth = (density.new_zeros(len(offsets) - 1, width) for width in (3, 1, 1))
    for ray in range(len(offsets) - 1):
        transmittance = 1.0
        for s in range(int(offsets[ray]), int(offsets[ray + 1])):
            alpha = 1.0 - math.exp(-float(density[s]) * float(t_end[s] - t_start[s]))
            weights[s] = transmittance * alpha
            accumulated[ray] += weights[s] * values[s]
            opacity[ray] += weights[s]
            depth[ray] += weights[s] * (t_start[s] + t_end[s]) / 2
            transmittance *= 1.0 - alpha
    return Composited(weights, accumulated, opacity, depth)


def test_equals_the_loop(backend: Backend) -> None:
    for found, expected in zip(composite(*packed(), backend=backend), composite_by_hand(*packed()), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_gradients_and_second_gradients_of_the_torch_form_are_right() -> None:
    density, t_start, t_end, values, offsets = packed(torch.float64)
    density.requires_grad_(), values.requires_grad_()

    def run(density: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        return tuple(composite(density, t_start, t_end, values, offsets))

    torch.autograd.gradcheck(run, (density, values))
    torch.autograd.gradgradcheck(run, (density, values))


def derivatives(backend: Backend, dtype: torch.dtype) -> list[Tensor]:
    density, t_start, t_end, values, offsets = (
        tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in packed()
    )
    density.requires_grad_(), values.requires_grad_()
    outputs = composite(density, t_start, t_end, values, offsets, backend=backend)
    generator = torch.Generator().manual_seed(6)
    grads = [torch.randn(output.shape, generator=generator).to(dtype) for output in outputs]
    plain = torch.autograd.grad(outputs, (density, values), grads, retain_graph=True)
    first = torch.autograd.grad(outputs, (density, values), grads, create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), (density, values))
    return [*plain, *first, *second]


def test_derivatives_agree(backend: Backend) -> None:
    for found, exact in zip(derivatives(backend, torch.float32), derivatives("torch", torch.float64), strict=True):
        torch.testing.assert_close(found.double(), exact, atol=1e-5, rtol=1e-5)


def test_a_dense_ray_does_not_blur_the_next_one(backend: Backend) -> None:
    """The absorption of earlier rays must cancel exactly: a float32 sum over all rays would lose this sample."""
    dense = torch.full((1000,), 1e4)
    density = torch.cat([dense, torch.tensor([1e-3])])
    t_start = torch.arange(1001.0)
    offsets = torch.tensor([0, 1000, 1001])
    found = composite(density, t_start, t_start + 1, torch.ones(1001, 1), offsets, backend=backend)
    assert found.opacity[1].item() == pytest.approx(1 - math.exp(-1e-3), rel=1e-5)


def test_a_thin_sample_keeps_its_weight(backend: Backend) -> None:
    """1 - exp(-x) for small x must not cancel."""
    one = torch.ones(1)
    found = composite(one * 1e-6, one, one * 2, one[:, None], torch.tensor([0, 1]), backend=backend)
    assert found.weights.item() == pytest.approx(1e-6, rel=1e-4)


@pytest.mark.parametrize("rays", [0, 4])
def test_no_samples(backend: Backend, rays: int) -> None:
    density = torch.zeros(0, requires_grad=True)
    nothing, offsets = torch.zeros(0), torch.zeros(rays + 1, dtype=torch.int64)
    found = composite(density, nothing, nothing, torch.zeros(0, 3), offsets, backend=backend)
    assert torch.equal(found.accumulated, torch.zeros(rays, 3))
    assert torch.equal(found.opacity, torch.zeros(rays, 1))
    assert torch.equal(found.depth, torch.zeros(rays, 1))
    (grad,) = torch.autograd.grad(found.accumulated.sum() + found.weights.sum(), density)
    assert grad.shape == (0,)


def test_offsets_that_do_not_end_at_the_last_sample_are_an_error(backend: Backend) -> None:
    if backend != "cpp":
        pytest.skip("looking first would wait for the device")
    density, t_start, t_end, values, _ = packed()
    for offsets in ([0, 5, 99], [0, 8, 3, 11], [1, 11]):
        with pytest.raises(ValueError, match="offsets: must rise from 0 to the number of samples, 11"):
            composite(density, t_start, t_end, values, torch.tensor(offsets), backend=backend)


def test_same_bits_with_one_thread_and_two(same_bits_on_two_threads: Callable) -> None:
    generator = torch.Generator().manual_seed(9)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.randint(0, 9, (900,), generator=generator).cumsum(0)])
    samples = int(offsets[-1])
    density, start = torch.rand(2, samples, generator=generator).unbind()
    values = torch.rand(samples, 5, generator=generator).requires_grad_()
    density.requires_grad_()

    def run() -> list[Tensor]:
        found = composite(density, start, start + 0.1, values, offsets, backend="cpp")
        return [*found, *torch.autograd.grad([item.square().sum() for item in found], (density, values))]

    same_bits_on_two_threads(run)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_number_of_channels(backend: Backend, channels: int) -> None:
    density, t_start, t_end, _, offsets = packed()
    values = torch.randn(len(density), channels, generator=torch.Generator().manual_seed(7), requires_grad=True)
    found = composite(density, t_start, t_end, values, offsets, backend=backend)
    expected = torch.stack([found.weights[low:high] @ values[low:high] for low, high in itertools.pairwise(offsets)])
    torch.testing.assert_close(found.accumulated, expected)
    (grad,) = torch.autograd.grad(found.accumulated.sum(), values)
    torch.testing.assert_close(grad, found.weights[:, None].expand_as(grad))


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_gradients_of_rays_of_any_length(backend: Backend, channels: int) -> None:
    """Eight samples fill a register, and 512 are held at a time: lengths around both, and several of them."""
    generator = torch.Generator().manual_seed(channels)
    counts = torch.tensor([1, 7, 8, 9, 0, 511, 512, 513, 1100])
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    samples, rays = int(counts.sum()), len(counts)
    t_start = torch.rand(samples, generator=generator)
    inputs = (torch.rand(samples, generator=generator) * 2.0, torch.randn(samples, channels, generator=generator))
    cotangents = [
        torch.randn(shape, generator=generator) for shape in ((samples,), (rays, channels), (rays, 1), (rays, 1))
    ]

    def gradients(form: Backend, dtype: torch.dtype) -> tuple[Tensor, ...]:
        density, values = (item.to(dtype).clone().requires_grad_() for item in inputs)
        seen = composite(density, t_start.to(dtype), (t_start + 0.01).to(dtype), values, offsets, backend=form)
        return torch.autograd.grad(tuple(seen), (density, values), [grad.to(dtype) for grad in cotangents])

    for found, exact in zip(gradients(backend, torch.float32), gradients("torch", torch.float64), strict=True):
        torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-5)


def test_opacity_runs_from_nothing_to_everything(backend: Backend) -> None:
    """1 - exp(-x) and exp(-x) are accurate to the last digits for every x."""
    x = torch.cat([torch.zeros(1), torch.logspace(-30, 3, 400)])
    zero, offsets = torch.zeros_like(x), torch.arange(len(x) + 1)
    found = composite(x, zero, zero + 1, x[:, None].clamp(max=1), offsets, backend=backend)
    torch.testing.assert_close(found.weights, -torch.expm1(-x.double()).float(), rtol=3e-7, atol=0)
    assert torch.equal(found.opacity[:, 0], found.weights)


def test_a_density_that_is_not_a_number_stays_one_and_harms_no_other_ray(backend: Backend) -> None:
    density, t_start, t_end, values, offsets = packed()
    clean = composite(density, t_start, t_end, values, offsets, backend=backend)
    density[4] = math.nan
    found = composite(density, t_start, t_end, values, offsets, backend=backend)
    assert bool(found.opacity[3].isnan())
    if backend != "torch":  # the torch form sums over all rays
        assert torch.equal(found.accumulated[[0, 2, 5]], clean.accumulated[[0, 2, 5]])
