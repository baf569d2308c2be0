"""Tests of a small network as a function of its weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bozzetto.kernels.api import Backend, mlp
from bozzetto.kernels.cpp import native


def layers(
    dtype: torch.dtype = torch.float32, widths: tuple[int, ...] = (5, 8, 8, 2)
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    pairs = list(itertools.pairwise(widths))
    weights = [torch.randn(out, into, generator=generator, dtype=dtype) / into**0.5 for into, out in pairs]
    biases = [torch.randn(out, generator=generator, dtype=dtype) for _, out in pairs]
    return torch.randn(6, widths[0], generator=generator, dtype=dtype), weights, biases


def test_equals_linear_layers() -> None:
    x, weights, biases = layers()
    hidden = x
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        hidden = hidden @ weight.T + bias
        hidden = hidden if layer == 2 else nn.functional.silu(hidden)
    torch.testing.assert_close(mlp(x, weights, biases, "silu"), hidden)


def test_the_head_is_exact_and_hidden_layers_are_near_in_bfloat16() -> None:
    x, weights, biases = layers()
    exact, near = mlp(x, weights, biases), mlp(x, weights, biases, compute_dtype=torch.bfloat16)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, atol=0.05, rtol=0.05)
    alone = mlp(x, weights[:1], None, compute_dtype=torch.bfloat16, backend="torch")
    assert torch.equal(alone, mlp(x, weights[:1], backend="torch"))


def test_gradients_in_bfloat16_point_the_same_way() -> None:
    x, weights, biases = layers()
    parameters = [item.requires_grad_() for item in (x, *weights, *biases)]

    def grads(dtype: torch.dtype) -> Tensor:
        out = mlp(x, weights, biases, compute_dtype=dtype)
        found = torch.autograd.grad(out.square().sum(), parameters)
        assert all(grad.dtype == torch.float32 for grad in found)
        return torch.cat([grad.flatten() for grad in found])

    exact, near = grads(torch.float32), grads(torch.bfloat16)
    assert float(torch.nn.functional.cosine_similarity(exact, near, dim=0)) > 0.99


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_takes_what_the_encoder_gives_feature_major(dtype: torch.dtype) -> None:
    x, weights, biases = layers()
    transposed = x.t().contiguous().t()
    torch.testing.assert_close(
        mlp(transposed, weights, biases, compute_dtype=dtype), mlp(x, weights, biases, compute_dtype=dtype)
    )


def test_gradients_and_second_gradients_are_right() -> None:
    x, weights, biases = layers(torch.float64, (2, 3, 3, 1))
    for tensor in (x, *weights, *biases):
        tensor.requires_grad_()

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return mlp(x, parameters[:3], parameters[3:], "softplus", torch.float64)

    torch.autograd.gradcheck(run, (x, *weights, *biases))
    torch.autograd.gradgradcheck(run, (x, *weights, *biases))


# Widths and rows that are multiples of the blocks of the compiled form, and some that are not.
SHAPES = [((12, 64, 1), 64), ((12, 64, 3), 200), ((5, 7, 9, 6), 130), ((4, 3), 70), ((2, 128, 2), 1), ((3, 4, 1), 0)]


def derivatives(backend: Backend, widths: tuple[int, ...], rows: int) -> list[Tensor]:
    """Return output, gradients, and gradients of a gradient in x, as required for normals."""
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(out, into, generator=generator) / into**0.5 for into, out in itertools.pairwise(widths)]
    x, grad, tangent = (torch.randn(rows, width, generator=generator) for width in (widths[0], widths[-1], widths[0]))
    known = [tensor.requires_grad_() for tensor in (x, *weights)]
    grad.requires_grad_()
    out = mlp(x, weights, backend=backend)
    first = torch.autograd.grad(out, known, grad, create_graph=backend == "torch", retain_graph=True)
    (slope,) = torch.autograd.grad(mlp(x, weights, backend=backend), x, grad, create_graph=True)
    second = torch.autograd.grad(slope, [*known[1:], grad], tangent)
    return [out.detach(), *(tensor.detach() for tensor in first), slope.detach(), *second]


@pytest.mark.parametrize(("widths", "rows"), SHAPES)
def test_the_compiled_form_has_the_same_derivatives(backend: Backend, widths: tuple[int, ...], rows: int) -> None:
    exact = derivatives("torch", widths, rows)
    torch.testing.assert_close(derivatives(backend, widths, rows), exact, atol=1e-4, rtol=1e-4)


def test_same_bits_with_one_thread_and_two(same_bits_on_two_threads: Callable) -> None:
    same_bits_on_two_threads(lambda: derivatives("cpp", (12, 64, 3), 20000))


def test_what_is_not_a_number_stays_so(backend: Backend) -> None:
    x, weights, _ = layers()
    x[2, 0] = torch.nan
    assert mlp(x, weights, backend=backend).isnan().any(dim=-1).tolist() == [False, False, True, False, False, False]


def test_third_derivatives_are_refused_not_wrong() -> None:
    if native.library() is None:
        pytest.skip("the compiled kernels are not built: pip install with a C++ compiler present")
    x, weights, _ = layers()
    tensors = [tensor.requires_grad_() for tensor in weights]
    grads = torch.autograd.grad(mlp(x, weights, backend="cpp").square().sum(), tensors, create_graph=True)
    with pytest.raises(native.NativeError, match="second derivatives in x only; backend='torch' has all"):
        torch.autograd.grad(grads[0].sum(), tensors, allow_unused=True)


def test_errors_name_the_argument() -> None:
    x, weights, biases = layers()
    with pytest.raises(ValueError, match=r"weights\[1\]: expected shape \(8, 8\), got \(8, 7\)"):
        mlp(x, [weights[0], weights[1][:, :7], weights[2]])
    with pytest.raises(ValueError, match="weights: at least one layer is needed"):
        mlp(x, [])
    with pytest.raises(ValueError, match="biases: expected 3, one per layer, got 2"):
        mlp(x, weights, biases[:2])
