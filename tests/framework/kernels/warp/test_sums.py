"""Tests of sums by many threads: fixed point gives the sum, and the same bits in every order."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

wp = pytest.importorskip("warp")

from bozzetto.kernels.api import GridSpec, antialias, hash_encode, interpolate, rasterize, texture  # noqa: E402
from bozzetto.kernels.settings import KernelSettings, using  # noqa: E402
from bozzetto.kernels.warp import sums  # noqa: E402

DETERMINISTIC = KernelSettings(deterministic=True)
SPEC = GridSpec(2, 2, 6, 3, 2.0)


def no_bound() -> Tensor:
    raise AssertionError("asked for a bound of fast sums")


def test_fast_sums_ask_for_no_bound() -> None:
    with using(KernelSettings()):
        assert sums.start(torch.zeros(1), 4, no_bound, 9).exact is None


@pytest.mark.parametrize("scale", [1e-30, 1.0, 3e20])
def test_the_unit_leaves_room_for_every_summand_and_keeps_their_digits(scale: float) -> None:
    count = 1000
    with using(DETERMINISTIC):
        found = sums.start(torch.zeros(1), 1, lambda: torch.tensor(scale), count)
    assert found.exact is not None and found.per_unit is not None
    assert 2**50 < float(found.per_unit) * scale * count < 2**63
    found.exact.fill_(int(count * scale * float(found.per_unit)))
    torch.testing.assert_close(found.result(), torch.tensor([count * scale]))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_not_finite_stays_visible(broken: float) -> None:
    with using(DETERMINISTIC):
        found = sums.start(torch.zeros(1), 2, lambda: torch.tensor(broken), 3)
    assert found.result().isnan().all()
    assert math.isnan(float(sums.largest(torch.tensor([1.0, math.nan]))))


def test_the_largest_magnitude() -> None:
    assert float(sums.largest(torch.tensor([1.0, -3.0]))) == 3.0
    assert float(sums.largest(None)) == float(sums.largest(torch.zeros(0))) == 0.0


def encoding(order: Tensor) -> list[Tensor]:
    """Return the gradient to a table of points in some order: many of them add to the same rows."""
    generator = torch.Generator().manual_seed(0)
    points, grad = torch.rand(len(order), 3, generator=generator), torch.randn(len(order), 4, generator=generator)
    table = torch.ones(SPEC.entry_count, 2, requires_grad=True)
    at = points[order].requires_grad_()
    encoded = hash_encode(at, table, SPEC, backend="warp")
    slope = torch.autograd.grad((encoded * grad[order]).sum(), at, create_graph=True)[0]
    return [*torch.autograd.grad((encoded * grad[order]).sum() + (slope * slope).sum(), table)]


def picture(order: Tensor) -> list[Tensor]:
    """Return gradients of a picture of triangles whose numbers are in some order."""
    generator = torch.Generator().manual_seed(1)
    pos = torch.randn(1, 3 * len(order), 4, generator=generator) * torch.tensor([1.0, 1.0, 0.3, 0.0])
    pos = (pos + torch.tensor([0.0, 0.0, 0.0, 1.0])).requires_grad_()
    tri = torch.arange(3 * len(order), dtype=torch.int32).view(-1, 3)
    tri = torch.cat([tri[:, :2], torch.zeros_like(tri[:, :1])], dim=1)[order].contiguous()  # one vertex in common
    rast, rast_db = rasterize(pos, tri, (24, 24), backend="warp")
    tex = torch.rand(1, 4, 4, 3, generator=generator).requires_grad_()
    uv, uv_da = interpolate(pos[..., :2].contiguous(), rast, tri, rast_db, "all", backend="warp")
    color = antialias(texture(tex, uv, uv_da, backend="warp"), rast, pos, tri, backend="warp")
    weight = torch.randn(color.shape, generator=generator)
    return [*torch.autograd.grad((color * weight).sum(), (pos, tex))]


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6 * float(other.abs().max()))


@pytest.mark.parametrize(("run", "count"), [(encoding, 500), (picture, 40)])
def test_deterministic_sums_have_the_same_bits_in_every_order(run, count: int) -> None:
    """One thread adds in the order of the inputs; on a GPU the order is that of chance."""
    orders = [torch.arange(count), torch.randperm(count, generator=torch.Generator().manual_seed(3))]
    with using(DETERMINISTIC):
        one, other = (run(order) for order in orders)
    with using(KernelSettings()):
        fast, again = (run(order) for order in orders)
    if run is encoding:
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(fast, again, strict=True))
    close(one, fast)
    close(other, again)
