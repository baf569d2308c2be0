"""Tests of the compiled kernels as torch operators: types, shapes and derivatives, also with fake tensors."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from bozzetto.kernels.api import GridSpec, composite, hash_encode, march, mlp
from bozzetto.kernels.cpp import native

pytestmark = pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")

SPEC = GridSpec(levels=2, log2_table_size=5, base_resolution=3, growth=2.0)
OPS = torch.ops.bozzetto


def drawn(*shape: int, grad: bool = False) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4)).requires_grad_(grad)


def samples(grad: bool = False) -> tuple[Tensor, ...]:
    """Return density, t_start, t_end, values, offsets of two rays."""
    start = torch.arange(7.0)
    return drawn(7, grad=grad), start, start + 1, drawn(7, 3, grad=grad), torch.tensor([0, 3, 7])


POINTS, TABLE, GRAD = (3, 6), (SPEC.entry_count, SPEC.features), (SPEC.feature_count, 6)
WIDTHS = [4, 5, 1]
"""Of a network on what `SPEC` encodes; it has 25 weights."""


@pytest.mark.parametrize(
    ("operator", "shapes"),
    [("hash_gather", (POINTS, TABLE)), ("hash_scatter", (POINTS, GRAD)), ("hash_pull", (POINTS, TABLE, GRAD))],
)
def test_hash_operators_keep_torchs_rules(operator: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    def run(tangent: Tensor | None, grad: bool) -> None:
        points, *rest = (drawn(*shape, grad=grad) for shape in shapes)
        also = (None,) if operator == "hash_scatter" else ()
        torch.library.opcheck(getattr(OPS, operator).default, (points, tangent, *rest, *also, SPEC.text))

    run(None, grad=True)
    run(drawn(*POINTS), grad=False)


def test_network_operators_keep_torchs_rules() -> None:
    x, weights = drawn(*GRAD, grad=True), drawn(25, grad=True)
    for tangent in (None, drawn(*GRAD, grad=True)):
        torch.library.opcheck(OPS.mlp.default, (x, tangent, weights, WIDTHS))
    torch.library.opcheck(
        OPS.mlp_backward.default, (x.detach(), None, weights.detach(), drawn(1, 6), WIDTHS, True, True)
    )
    torch.library.opcheck(OPS.mlp_slope.default, (x.detach(), weights.detach(), WIDTHS))


def test_composite_keeps_torchs_rules() -> None:
    torch.library.opcheck(OPS.composite.default, samples(grad=True))
    density, start, end, values, offsets = samples()
    known = (start, end, values, offsets, density, density)
    torch.library.opcheck(OPS.composite_backward.default, (*known, None, drawn(2, 3), drawn(2, 1), None))


def test_march_keeps_torchs_rules() -> None:
    direction = torch.nn.functional.normalize(drawn(5, 3) - 0.5, dim=-1)
    occupancy = torch.ones(4, 4, 4, dtype=torch.bool)
    for jitter in (None, drawn(5)):
        torch.library.opcheck(OPS.march.default, (drawn(5, 3), direction, 1.0, occupancy, 0.1, 70, jitter))


def render(points: Tensor, table: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
    """Apply encoding, network and compositing in sequence; return the colours of the rays."""
    start = torch.arange(points.shape[0], dtype=points.dtype, device=points.device)
    out = mlp(hash_encode(points, table, SPEC), [weight, weight], compute_dtype=torch.bfloat16)
    return composite(out[:, 0].relu(), start, start + 1, out[:, 1:], offsets).accumulated


def normals(points: Tensor, table: Tensor, weight: Tensor) -> Tensor:
    """Return gradients of a density, to be differentiated again."""
    encoded = hash_encode(points, table, SPEC)
    return torch.autograd.grad((encoded @ weight).relu().sum(), points, create_graph=True)[0]


def test_shapes_are_known_without_data() -> None:
    with FakeTensorMode():
        points, table, weight = drawn(10, 3, grad=True), drawn(*TABLE, grad=True), drawn(4, 4, grad=True)
        colour = render(points, table, weight, torch.tensor([0, 4, 10]))
        assert colour.shape == (2, 3)
        grads = torch.autograd.grad(colour.sum(), (points, table, weight))
        assert [grad.shape for grad in grads] == [points.shape, table.shape, weight.shape]
        normal = normals(points, table, weight)
        assert normal.shape == (10, 3)
        second = torch.autograd.grad(normal.square().sum(), (points, table, weight))
        assert [grad.shape for grad in second] == [points.shape, table.shape, weight.shape]


def test_what_a_march_finds_is_counted_only_with_data() -> None:
    with FakeTensorMode(shape_env=ShapeEnv()):
        occupancy = torch.ones(4, 4, 4, dtype=torch.bool)
        origin, direction = drawn(5, 3), torch.nn.functional.normalize(drawn(5, 3), dim=-1)
        found = march(origin, direction, 1.0, occupancy, 0.1, 70)
        middle = 0.5 * (found.t_start + found.t_end)
        points = (origin[found.ray] + middle[:, None] * direction[found.ray] + 1.0) / 2.0
        density = hash_encode(points, drawn(*TABLE), SPEC)[:, 0].relu()
        seen = composite(density, found.t_start, found.t_end, points, found.offsets)
        assert isinstance(seen.weights.shape[0], torch.SymInt)
        assert (seen.accumulated.shape, seen.opacity.shape, found.offsets.shape) == ((5, 3), (5, 1), (6,))


def test_a_traced_second_derivative_is_the_second_derivative() -> None:
    def run(points: Tensor, table: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(normals(points, table, weight).square().sum(), (points, table))

    inputs = (drawn(10, 3, grad=True), drawn(*TABLE, grad=True), drawn(4, 4))
    traced = make_fx(run, tracing_mode="fake")(*inputs)
    called = {str(node.target) for node in traced.graph.nodes}
    assert {"bozzetto.hash_gather.default", "bozzetto.hash_pull.default", "bozzetto.hash_scatter.default"} <= called
    for found, exact in zip(traced(*inputs), run(*inputs), strict=True):
        torch.testing.assert_close(found, exact)


COMPILED = """
    import torch
    from bozzetto.kernels.api import GridSpec, composite, hash_encode, mlp

    def render(points, table, weight, offsets):
        start = torch.arange(10.0)
        out = mlp(hash_encode(points, table, spec), [weight, weight])
        return composite(out[:, 0].relu(), start, start + 1, out[:, 1:], offsets).accumulated.square().sum()

    spec = GridSpec(levels=2, log2_table_size=5, base_resolution=3, growth=2.0)
    torch.manual_seed(0)
    points, table, weight = torch.rand(10, 3), torch.rand(spec.entry_count, 2), torch.rand(4, 4)
    inputs = [points.requires_grad_(), table.requires_grad_(), weight.requires_grad_()]
    results = []
    for run in (render, torch.compile(render, fullgraph=True, backend="aot_eager")):
        colour = run(*inputs, torch.tensor([0, 4, 10]))
        results.append([colour, *torch.autograd.grad(colour, inputs)])
    for plain, compiled in zip(*results):
        torch.testing.assert_close(plain, compiled)
"""


@pytest.mark.slow
def test_they_compile_into_one_graph() -> None:
    """Runs in its own process: the type checks of the tests cannot be part of a graph."""
    subprocess.run([sys.executable, "-c", textwrap.dedent(COMPILED)], check=True, timeout=120)


def test_what_no_kernel_can_take_is_an_error() -> None:
    with pytest.raises(native.NativeError, match="Kernels take contiguous tensors"):
        OPS.hash_gather(drawn(*POINTS).double(), None, drawn(*TABLE), SPEC.text)
