"""Tests of the Warp kernels as torch operators: types, shapes and derivatives, also with fake tensors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

pytest.importorskip("warp")

from bozzetto.kernels.api import GridSpec, antialias, hash_encode, interpolate, rasterize, texture, topology
from bozzetto.kernels.api import composite as composited
from bozzetto.kernels.ref.texture import mipmap
from bozzetto.kernels.settings import KernelSettings, using
from bozzetto.kernels.warp import antialias as _antialias  # noqa: F401  # registers its operators
from bozzetto.kernels.warp import composite as _composite  # noqa: F401
from bozzetto.kernels.warp import hash_encode as _hash_encode  # noqa: F401
from bozzetto.kernels.warp import interpolate as _interpolate  # noqa: F401
from bozzetto.kernels.warp import march as _march  # noqa: F401
from bozzetto.kernels.warp import rasterize as _rasterize  # noqa: F401
from bozzetto.kernels.warp import texture as _texture  # noqa: F401

SPEC = GridSpec(levels=2, log2_table_size=5, base_resolution=3, growth=2.0)
OPS = torch.ops.bozzetto_warp
PLAIN = ("test_schema", "test_faketensor")
"""Checks of operators that have no derivative."""


@pytest.fixture(autouse=True, params=[False, True], ids=["fast", "deterministic"])
def settings(request: pytest.FixtureRequest):
    with using(KernelSettings(deterministic=request.param)):
        yield


def drawn(*shape: int, grad: bool = False) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4)).requires_grad_(grad)


def test_hash_operators() -> None:
    points, table, grad = drawn(3, 6, grad=True), drawn(SPEC.entry_count, 2, grad=True), drawn(4, 6, grad=True)
    torch.library.opcheck(OPS.hash_gather.default, (points, None, table, SPEC.text))
    torch.library.opcheck(OPS.hash_scatter.default, (points, None, grad, None, SPEC.text))
    torch.library.opcheck(OPS.hash_pull.default, (points, None, table, grad, SPEC.text))
    known = (points.detach(), drawn(3, 6))
    torch.library.opcheck(OPS.hash_scatter.default, (*known, grad.detach(), drawn(4, 6), SPEC.text), test_utils=PLAIN)


def test_composite() -> None:
    start, offsets = torch.arange(7.0), torch.tensor([0, 3, 7])
    torch.library.opcheck(
        OPS.composite.default, (drawn(7, grad=True), start, start + 1, drawn(7, 3, grad=True), offsets)
    )
    known = (start, start + 1, drawn(7, 3), offsets, drawn(7), drawn(7))
    torch.library.opcheck(OPS.composite_backward.default, (*known, None, drawn(2, 3), drawn(2, 1), None))


def test_march() -> None:
    direction = torch.nn.functional.normalize(drawn(5, 3) - 0.5, dim=-1)
    known = (drawn(5, 3), direction, 1.0, torch.ones(4, 4, 4, dtype=torch.bool), 0.1, 70)
    torch.library.opcheck(OPS.march.default, (*known, None))
    torch.library.opcheck(OPS.march_within.default, (9, *known, drawn(5)))


def scene() -> tuple[Tensor, Tensor]:
    pos = torch.tensor([[-0.7, -0.8, 0.1, 1.0], [0.9, -0.6, 0.3, 1.3], [-0.5, 0.9, 0.2, 1.0], [0.8, 0.7, 0.4, 1.1]])
    return pos[None], torch.tensor([[0, 1, 2], [2, 1, 3]], dtype=torch.int32)


def test_mesh_operators() -> None:
    pos, tri = scene()
    torch.library.opcheck(OPS.rasterize.default, (pos.requires_grad_(), tri, 6, 5))
    rast, rast_db = (image.detach() for image in rasterize(pos, tri, (6, 5), backend="warp"))
    torch.library.opcheck(OPS.rasterize_backward.default, (pos.detach(), tri, rast, rast, rast_db), test_utils=PLAIN)
    attr = drawn(1, 4, 3, grad=True)
    inputs = (attr, rast.clone().requires_grad_(), tri, rast_db.clone().requires_grad_(), [1])
    torch.library.opcheck(OPS.interpolate.default, inputs)
    color = drawn(1, 6, 5, 3, grad=True)
    torch.library.opcheck(OPS.antialias.default, (color, rast, pos, tri, topology(tri)))
    levels = [drawn(1, 4, 4, 3, grad=True), mipmap(drawn(1, 4, 4, 3)).requires_grad_()]
    sampled = (levels, drawn(1, 6, 5, 2, grad=True), drawn(1, 6, 5, grad=True), "linear-mipmap-linear", "wrap")
    torch.library.opcheck(OPS.texture.default, sampled)


def test_shapes_are_known_without_data() -> None:
    with FakeTensorMode():
        points, table = drawn(10, 3, grad=True), drawn(SPEC.entry_count, 2, grad=True)
        encoded = hash_encode(points, table, SPEC, backend="warp")
        (slope,) = torch.autograd.grad(encoded.square().sum(), points, create_graph=True)
        assert torch.autograd.grad(slope.sum(), table)[0].shape == table.shape
        start, offsets = torch.arange(10.0), torch.tensor([0, 4, 10])
        seen = composited(encoded[:, 0], start, start + 1, encoded, offsets, backend="warp")
        assert seen.accumulated.shape == (2, 4)
        pos, tri = torch.empty(2, 9, 4, requires_grad=True), torch.empty(3, 3, dtype=torch.int32)
        rast, rast_db = rasterize(pos, tri, (5, 7), backend="warp")
        uv, uv_da = interpolate(torch.empty(1, 9, 2), rast, tri, rast_db, "all", backend="warp")
        color = texture(torch.empty(1, 8, 8, 3), uv, uv_da, backend="warp")
        out = antialias(color, rast, pos, tri, torch.empty(3, 3, dtype=torch.int32), backend="warp")
        assert out.shape == (2, 5, 7, 3)
        assert torch.autograd.grad(out.sum(), pos)[0].shape == pos.shape


def test_rows_that_belong_to_no_ray_have_no_weight_and_get_no_gradient() -> None:
    density, values = drawn(9, grad=True), drawn(9, 2, grad=True)
    start, offsets = torch.arange(9.0), torch.tensor([0, 2, 2, 6])
    seen = composited(density, start, start + 1, values, offsets, backend="warp")
    cut = composited(density[:6], start[:6], start[:6] + 1, values[:6], offsets, backend="torch")
    torch.testing.assert_close((seen.accumulated, seen.opacity, seen.depth), (cut.accumulated, cut.opacity, cut.depth))
    assert not seen.weights[6:].any()
    grads = torch.autograd.grad(seen.accumulated.sum() + seen.weights.square().sum(), (density, values))
    exact = torch.autograd.grad(cut.accumulated.sum() + cut.weights.square().sum(), (density, values))
    torch.testing.assert_close(grads, exact)
    assert not grads[0][6:].any() and not grads[1][6:].any()


def test_indices_out_of_range_are_left_out() -> None:
    """Looking for them would wait for the device; none may be read or written outside of the memory."""
    pos, tri = scene()
    wrong = torch.tensor([[0, 1, 2], [2, 1, 99], [-1, 0, 1]], dtype=torch.int32)
    rast, _ = rasterize(pos, wrong, (6, 5), backend="warp")
    assert torch.equal(rast, rasterize(pos, tri[:1], (6, 5), backend="warp")[0])
    rast, _ = rasterize(pos, tri, (6, 5), backend="warp")
    out, _ = interpolate(torch.ones(1, 4, 1), rast, tri[:1], backend="warp")
    assert torch.equal(out[..., 0] > 0, rast[..., 3] == 1) and (rast[..., 3] == 2).any()
    color = drawn(1, 6, 5, 1)
    assert antialias(color, rast, pos, wrong, backend="warp").isfinite().all()
