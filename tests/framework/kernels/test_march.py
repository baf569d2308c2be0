"""Tests of ray marching against a loop over rays and steps in plain Python."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bozzetto.kernels.api import Backend, Intervals, march, march_within

RADIUS, STEP = 1.5, 0.11


def scene(rays: int = 30, resolution: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rays from around and inside the cube, some axis-aligned, some misses; a third of the cells is occupied."""
    generator = torch.Generator().manual_seed(3)
    origin = torch.randn(rays, 3, generator=generator) * 2.0
    target = torch.randn(rays, 3, generator=generator) * 0.7
    direction = torch.nn.functional.normalize(target - origin, dim=-1)
    origin[0], direction[0] = torch.tensor([3.0, 0.1, -0.2]), torch.tensor([-1.0, 0.0, 0.0])
    origin[1], direction[1] = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    origin[2], direction[2] = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    origin[3], direction[3] = torch.tensor([3.0, 5.0, 0.0]), torch.tensor([-1.0, 0.0, 0.0])
    occupancy = torch.rand(resolution, resolution, resolution, generator=generator) < 0.33
    return origin, direction, occupancy, torch.rand(rays, generator=generator)


def march_by_hand(origin: Tensor, direction: Tensor, occupancy: Tensor, jitter: Tensor, max_steps: int) -> list:
    """Return `(ray, t_start, t_end)` in order, in float64."""
    found = []
    resolution = len(occupancy)
    for ray in range(len(origin)):
        near, far = 0.0, float("inf")
        for axis in range(3):
            o, d = float(origin[ray, axis]), float(direction[ray, axis])
            if d == 0.0:
                far = far if -RADIUS <= o <= RADIUS else -1.0
                continue
            walls = sorted([(-RADIUS - o) / d, (RADIUS - o) / d])
            near, far = max(near, walls[0]), min(far, walls[1])
        for step in range(max_steps):
            middle = near + (step + float(jitter[ray])) * STEP
            if middle >= far:
                break
            point = origin[ray].double() + middle * direction[ray].double()
            cell = ((point + RADIUS) / (2 * RADIUS) * resolution).long().clamp(0, resolution - 1)
            if occupancy[tuple(cell)]:
                found.append((ray, middle - STEP / 2, middle + STEP / 2))
    return found


@pytest.mark.parametrize("max_steps", [200, 7])
def test_equals_the_loop(backend: Backend, max_steps: int) -> None:
    origin, direction, occupancy, jitter = scene()
    expected = march_by_hand(origin, direction, occupancy, jitter, max_steps)
    found = march(origin, direction, RADIUS, occupancy, STEP, max_steps, jitter, backend=backend)
    assert found.ray.tolist() == [item[0] for item in expected]
    torch.testing.assert_close(found.t_start, torch.tensor([item[1] for item in expected]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.t_end, torch.tensor([item[2] for item in expected]), atol=1e-5, rtol=1e-5)
    assert found.offsets[0] == 0
    assert torch.equal(found.offsets.diff(), torch.bincount(found.ray, minlength=len(origin)))


def test_both_forms_find_the_same_bits(backend: Backend) -> None:
    origin, direction, occupancy, jitter = scene(rays=300, resolution=16)
    for shift in (jitter, None):
        one = march(origin, direction, 1.1, occupancy, 0.013, 150, shift, backend="torch")
        other = march(origin, direction, 1.1, occupancy, 0.013, 150, shift, backend=backend)
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("occupied", [0.0, 0.001, 0.05, 1.0])
@pytest.mark.parametrize(
    ("resolution", "step", "max_steps"),
    [(1, 0.02, 100), (7, 0.4, 3), (30, 0.003, 1100), (33, 0.05, 64), (64, 0.011, 513), (40, 1.9, 10)],
)
def test_skipping_empty_space_changes_no_bit(
    backend: Backend, resolution: int, step: float, max_steps: int, occupied: float
) -> None:
    origin, direction, _, jitter = scene(rays=60)
    generator = torch.Generator().manual_seed(resolution)
    occupancy = torch.rand(resolution, resolution, resolution, generator=generator) < occupied
    one = march(origin, direction, 1.3, occupancy, step, max_steps, jitter, backend="torch")
    other = march(origin, direction, 1.3, occupancy, step, max_steps, jitter, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_same_bits_with_one_thread_and_two(same_bits_on_two_threads: Callable) -> None:
    origin, direction, occupancy, jitter = scene(rays=900)
    same_bits_on_two_threads(lambda: [*march(origin, direction, RADIUS, occupancy, STEP, 200, jitter, backend="cpp")])


def test_intervals_carry_no_gradient(backend: Backend) -> None:
    origin, direction, occupancy, jitter = scene()
    found = march(origin.requires_grad_(), direction, RADIUS, occupancy, STEP, 200, jitter, backend=backend)
    assert len(found.t_start)
    assert not any(item.requires_grad for item in found)


def test_without_jitter_the_first_interval_starts_at_the_entry(backend: Backend) -> None:
    origin, direction = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[-1.0, 0.0, 0.0]])
    full = torch.ones(2, 2, 2, dtype=torch.bool)
    found = march(origin, direction, 1.0, full, 0.5, 100, backend=backend)
    torch.testing.assert_close(found.t_start, torch.tensor([2.0, 2.5, 3.0, 3.5]))
    torch.testing.assert_close(found.t_end, torch.tensor([2.5, 3.0, 3.5, 4.0]))


def empty(found: Intervals, rays: int) -> bool:
    return len(found.t_start) == len(found.t_end) == len(found.ray) == 0 and found.offsets.tolist() == [0] * (rays + 1)


def test_no_occupied_cell_and_no_rays(backend: Backend) -> None:
    origin, direction, occupancy, jitter = scene()
    nothing = torch.zeros_like(occupancy)
    assert empty(march(origin, direction, RADIUS, nothing, STEP, 100, jitter, backend=backend), len(origin))
    none = origin[:0]
    assert empty(march(none, none, RADIUS, occupancy, STEP, 100, jitter[:0], backend=backend), 0)


def test_a_ray_that_is_not_a_number_hits_nothing(backend: Backend) -> None:
    full = torch.ones(2, 2, 2, dtype=torch.bool)
    broken = torch.tensor([[3.0, float("nan"), 0.0]])
    direction = torch.tensor([[-1.0, 0.0, 0.0]])
    assert empty(march(broken, direction, 1.0, full, 0.5, 100, backend=backend), 1)


@pytest.mark.parametrize("room", [0, 0.4, 1.0, 1.3])
def test_buffers_of_a_given_size_hold_the_first_intervals(backend: Backend, room: float) -> None:
    origin, direction, occupancy, jitter = scene(rays=50, resolution=9)
    exact = march(origin, direction, RADIUS, occupancy, STEP, 200, jitter, backend="torch")
    count = len(exact.ray)
    bound = int(room * count)
    held, found = march_within(bound, origin, direction, RADIUS, occupancy, STEP, 200, jitter, backend=backend)
    assert int(found) == count > 100
    assert len(held.t_start) == len(held.t_end) == len(held.ray) == bound
    for whole, part in zip(exact[:3], held[:3], strict=True):
        assert torch.equal(part[:count], whole[:bound])
    assert torch.equal(held.offsets, exact.offsets.clamp(max=bound))
    assert not held.t_start[count:].any() and not held.t_end[count:].any() and (held.ray[count:] == 49).all()


def test_a_negative_bound_is_an_error() -> None:
    origin, direction, occupancy, _ = scene()
    with pytest.raises(ValueError, match="bound: must not be negative, got -1"):
        march_within(-1, origin, direction, RADIUS, occupancy, STEP, 100)


def test_errors_name_the_argument(backend: Backend) -> None:
    origin, direction, occupancy, jitter = scene()
    with pytest.raises(ValueError, match="step_size: must be positive, got 0"):
        march(origin, direction, RADIUS, occupancy, 0.0, 100, jitter, backend=backend)
