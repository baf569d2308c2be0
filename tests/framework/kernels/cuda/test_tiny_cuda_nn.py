"""Tests of the tinycudann adapter against the torch forms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook

from bozzetto.kernels.cuda import tiny_cuda_nn
from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.kernels.ref.hash_encode import hash_encode as encode_by_torch
from bozzetto.kernels.ref.mlp import mlp as mlp_by_torch

SPECS = [
    GridSpec(levels=4, features=2, log2_table_size=9, base_resolution=3, growth=1.9),
    GridSpec(levels=3, features=4, log2_table_size=10, base_resolution=4, growth=1.7, interpolation="smoothstep"),
]
SHAPES = ((16, 10), (16, 16), (4, 16))

pytestmark = pytest.mark.usefixtures("tinycudann")


@pytest.fixture
def ran(tinycudann) -> Iterator[list[int]]:
    """Return the number of points of each run of a module of tinycudann, `PROBES` of a new encoding included."""
    counts: list[int] = []

    def note(module, inputs, output) -> None:
        if isinstance(module, (tinycudann.Encoding, tinycudann.Network)):
            counts.append(len(inputs[0]))

    handle = register_module_forward_hook(note)
    yield counts
    handle.remove()


def inputs(spec: GridSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return points, some of them outside the unit cube, and a table."""
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(50, 3, generator=generator) * 1.2 - 0.1
    table = torch.randn(spec.entry_count, spec.features, generator=generator)
    return points.to(device).requires_grad_(), table.to(device).requires_grad_()


def close(found: Tensor, expected: Tensor, tolerance: float = 2e-3) -> None:
    """Compare up to the rounding of float32 coordinates, or of float16, relative to the tensor's scale."""
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * float(expected.detach().abs().max()))


@pytest.mark.parametrize("spec", SPECS, ids=["linear", "smoothstep"])
def test_encodes_and_differentiates_as_the_torch_form(device: torch.device, ran: list[int], spec: GridSpec) -> None:
    points, table = inputs(spec, device)
    found = tiny_cuda_nn.hash_encode(points, table, spec)
    assert ran == [tiny_cuda_nn.PROBES, 50]
    expected = encode_by_torch(points, table, spec)
    close(found, expected)
    cotangent = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2)).to(device)
    for one, other in zip(
        torch.autograd.grad(found, (points, table), cotangent),
        torch.autograd.grad(expected, (points, table), cotangent),
        strict=True,
    ):
        close(one, other)


@pytest.mark.parametrize("spec", SPECS, ids=["linear", "smoothstep"])
def test_normals_can_be_trained(device: torch.device, ran: list[int], spec: GridSpec) -> None:
    """The gradient in the points has a gradient in the table."""
    points, table = inputs(spec, device)

    def of_slopes(encode) -> Tensor:
        (slope,) = torch.autograd.grad(encode(points, table, spec).square().sum(), points, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), table)[0]

    close(of_slopes(tiny_cuda_nn.hash_encode), of_slopes(encode_by_torch))
    assert 50 in ran


def test_the_gradient_to_the_table_says_that_it_has_none(device: torch.device) -> None:
    points, table = inputs(SPECS[0], device)
    encoded = tiny_cuda_nn.hash_encode(points, table, SPECS[0])
    (gradient,) = torch.autograd.grad(encoded.square().sum(), table, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


def test_a_table_survives_the_round_trip() -> None:
    spec = SPECS[1]
    table = torch.randn(spec.entry_count, spec.features)
    assert torch.equal(tiny_cuda_nn.unpack_table(tiny_cuda_nn.pack_table(table), spec), table)


def test_no_points_and_other_types_are_encoded_by_torch(device: torch.device, ran: list[int]) -> None:
    points, table = inputs(SPECS[0], device)
    assert tiny_cuda_nn.hash_encode(points[:0], table, SPECS[0]).shape == (0, SPECS[0].feature_count)
    exact = (points.double(), table.double(), SPECS[0])
    torch.testing.assert_close(tiny_cuda_nn.hash_encode(*exact), encode_by_torch(*exact))
    assert ran == []


def test_another_layout_is_noticed_and_encoded_by_torch(
    device: torch.device, ran: list[int], tinycudann, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = tinycudann.Encoding

    def coarser(n_input_dims, encoding_config, seed=1337, dtype=None):
        return real(n_input_dims, {**encoding_config, "base_resolution": 2}, seed, dtype)

    monkeypatch.setattr(tinycudann, "Encoding", coarser)
    points, table = inputs(SPECS[0], device)
    found = tiny_cuda_nn.hash_encode(points, table, SPECS[0])
    torch.testing.assert_close(found, encode_by_torch(points, table, SPECS[0]))
    assert "lays this grid out otherwise" in caplog.text and 50 not in ran


def network(device: torch.device) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(shape, generator=generator) * 0.3 for shape in SHAPES]
    x = torch.randn(40, SHAPES[0][1], generator=generator)
    return x.to(device).requires_grad_(), [weight.to(device).requires_grad_() for weight in weights]


def test_the_network_and_its_gradients_are_those_of_torch(device: torch.device, ran: list[int]) -> None:
    x, weights = network(device)
    found = tiny_cuda_nn.mlp(x, weights, compute_dtype=torch.float16)
    assert ran == [40]
    expected = mlp_by_torch(x, weights)
    assert found.dtype == torch.float32
    close(found, expected, 2e-2)
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), (x, *weights)),
        torch.autograd.grad(expected.square().sum(), (x, *weights)),
        strict=True,
    ):
        close(one, other, 5e-2)


def test_second_derivatives_of_the_network_come_from_torch(device: torch.device, ran: list[int]) -> None:
    x, weights = network(device)

    def of_slopes(run) -> Tensor:
        (slope,) = torch.autograd.grad(run(x, weights, compute_dtype=torch.bfloat16).sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), weights[0])[0]

    torch.testing.assert_close(of_slopes(tiny_cuda_nn.mlp), of_slopes(mlp_by_torch))
    assert ran == [40]


@pytest.mark.parametrize(
    "options",
    [
        {"compute_dtype": torch.float32},
        {"compute_dtype": torch.float16, "activation": "silu"},
        {"compute_dtype": torch.float16, "biases": True},
    ],
    ids=["float32", "silu", "biases"],
)
def test_what_it_cannot_do_runs_on_torch(
    device: torch.device, tinycudann, monkeypatch: pytest.MonkeyPatch, options: dict
) -> None:
    monkeypatch.setattr(tinycudann, "Network", lambda **options: pytest.fail("was asked"))
    x, weights = network(device)
    if options.get("biases"):
        options = {**options, "biases": [torch.ones(len(weight), device=device) for weight in weights]}
    torch.testing.assert_close(tiny_cuda_nn.mlp(x, weights, **options), mlp_by_torch(x, weights, **options))


def test_weights_survive_the_round_trip() -> None:
    _, weights = network(torch.device("cpu"))
    packed = tiny_cuda_nn.pack_weights(weights)
    assert len(packed) == 16 * 16 + 16 * 16 + 16 * 16
    for found, expected in zip(tiny_cuda_nn.unpack_weights(packed, SHAPES), weights, strict=True):
        assert torch.equal(found, expected)
