"""Tests of the nerfacc adapter against the torch forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.kernels.cuda import nerf_acc
from bozzetto.kernels.ref.march import Intervals
from bozzetto.kernels.ref.march import march as march_by_torch
from bozzetto.math.compositing import composite as composite_by_torch

RADIUS, STEP = 1.5, 0.11

pytestmark = pytest.mark.usefixtures("nerfacc")


@pytest.fixture
def called(nerfacc, recorded) -> list[str]:
    """Return the functions of nerfacc that ran."""
    return recorded(nerfacc, "traverse_grids", "render_weight_from_density")


def scene(device: torch.device, rays: int = 40) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rays from around and inside the cube, one miss, one NaN; a third of the cells is occupied."""
    generator = torch.Generator().manual_seed(3)
    origin = torch.randn(rays, 3, generator=generator) * 2.0
    direction = torch.nn.functional.normalize(torch.randn(rays, 3, generator=generator) * 0.7 - origin, dim=-1)
    origin[0], direction[0] = torch.tensor([3.0, 0.1, -0.2]), torch.tensor([1.0, 0.0, 0.0])
    origin[1] = float("nan")
    origin[2] = torch.tensor([0.1, 0.2, -0.3])
    occupancy = torch.rand(6, 6, 6, generator=generator) < 0.33
    jitter = torch.rand(rays, generator=generator)
    return tuple(item.to(device) for item in (origin, direction, occupancy, jitter))


def alike(found: Intervals, expected: Intervals) -> None:
    """Compare intervals, allowing one in two hundred to differ: midpoints on the wall of a cell."""
    assert found.offsets.dtype == expected.offsets.dtype and len(found.offsets) == len(expected.offsets)
    assert torch.equal(found.offsets.diff(), torch.bincount(found.ray, minlength=len(found.offsets) - 1))
    one, other = (
        set(zip(item.ray.tolist(), (item.t_start / STEP * 4).round().tolist(), strict=True))
        for item in (found, expected)
    )
    assert len(one ^ other) <= len(other) / 200
    if len(found.t_start) == len(expected.t_start):
        torch.testing.assert_close(found.t_start, expected.t_start, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(found.t_end, expected.t_end, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("max_steps", [200, 7])
@pytest.mark.parametrize("jittered", [True, False])
def test_finds_the_same_intervals(device: torch.device, called: list[str], max_steps: int, jittered: bool) -> None:
    origin, direction, occupancy, jitter = scene(device)
    arguments = (origin, direction, RADIUS, occupancy, STEP, max_steps, jitter if jittered else None)
    found = nerf_acc.march(*arguments)
    assert len(found.t_start) > 50 and called == ["traverse_grids"]
    alike(found, march_by_torch(*arguments))


def test_nothing_occupied_and_no_rays(device: torch.device) -> None:
    origin, direction, occupancy, jitter = scene(device)
    empty = nerf_acc.march(origin, direction, RADIUS, torch.zeros_like(occupancy), STEP, 50, jitter)
    assert len(empty.t_start) == 0 and empty.offsets.tolist() == [0] * (len(origin) + 1)
    none = nerf_acc.march(origin[:0], direction[:0], RADIUS, occupancy, STEP, 50, jitter[:0])
    assert none.offsets.tolist() == [0]


def packed(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    counts = torch.tensor([3, 0, 1, 5, 0, 2])
    samples = int(counts.sum())
    density = torch.rand(samples, generator=generator) * 8
    t_start = torch.arange(samples) * 0.3
    values = torch.randn(samples, 3, generator=generator)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    density, t_start, values, offsets = (item.to(device) for item in (density, t_start, values, offsets))
    return density.requires_grad_(), t_start, t_start + 0.2, values.requires_grad_(), offsets


def test_composites_and_differentiates_as_the_torch_form(device: torch.device, called: list[str]) -> None:
    inputs = packed(device)
    results = [run(*inputs) for run in (nerf_acc.composite, composite_by_torch)]
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    gradients = [
        torch.autograd.grad(sum((item * item.detach().cos()).sum() for item in result), (inputs[0], inputs[3]))
        for result in results
    ]
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert called == ["render_weight_from_density"] * 2


def test_second_derivatives_come_from_torch(device: torch.device, called: list[str]) -> None:
    inputs = packed(device)

    def twice(run) -> Tensor:
        total = run(*inputs).accumulated.square().sum()
        (gradient,) = torch.autograd.grad(total, inputs[0], create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), inputs[0])[0]

    torch.testing.assert_close(twice(nerf_acc.composite), twice(composite_by_torch), atol=1e-4, rtol=1e-4)
    assert called == ["render_weight_from_density"] * 2  # of the value, and of the slope's own cotangent


def test_no_samples(device: torch.device, called: list[str]) -> None:
    density, t_start, t_end, values, offsets = packed(device)
    found = nerf_acc.composite(density[:0], t_start[:0], t_end[:0], values[:0], torch.zeros_like(offsets))
    assert found.accumulated.shape == (6, 3) and not found.opacity.any() and called == []
