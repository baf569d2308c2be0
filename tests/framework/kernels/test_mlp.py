"""A small network as a function of its weights."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from bozzetto.kernels.api import mlp


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


def test_errors_name_the_argument() -> None:
    x, weights, biases = layers()
    with pytest.raises(ValueError, match="weights: at least one layer is needed"):
        mlp(x, [])
    with pytest.raises(ValueError, match="biases: expected 3, one per layer, got 2"):
        mlp(x, weights, biases[:2])
