"""Tests of gradients through a half-precision image encoder, for large and small loss weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.gradient_scale import scaled_backward

Folders = Callable[..., Path]
CPU = torch.device("cpu")


def image_gradient(denoiser: Denoiser, weight: float) -> Tensor:
    """Return the image gradient for noise of standard deviation `weight` in the latents, less for the second view."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 32, 32, generator=generator).requires_grad_()
    noise = torch.randn(2, 4, 8, 8, generator=generator)
    latents = denoiser.encode(image, noise)
    to_latents = weight * torch.randn(latents.shape, generator=generator) * torch.tensor([1.0, 0.01]).view(2, 1, 1, 1)
    (gradient,) = torch.autograd.grad(latents, image, to_latents)
    return gradient


def relative_error(found: Tensor, exact: Tensor) -> float:
    """Return the larger error of the two views."""
    return float(((found - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)).max())


@pytest.mark.parametrize("weight", [1.0, 0.0025, 5e-5, 1e-9, 1e4])
@pytest.mark.parametrize(("dtype", "least"), [(torch.float16, 0.01), (torch.bfloat16, 0.06)])
def test_a_gradient_in_half_precision_is_as_exact_at_any_weight(
    tiny_folder: Folders, dtype: torch.dtype, least: float, weight: float
) -> None:
    exact = image_gradient(Denoiser(tiny_folder(), CPU, torch.float32), weight)
    found = image_gradient(Denoiser(tiny_folder(), CPU, dtype), weight)
    assert relative_error(found, exact) < least


def test_the_scale_is_taken_back_to_the_bit() -> None:
    inputs = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    given = torch.tensor([[1e-20], [0.3], [0.0]]).expand(3, 5)
    (plain,) = torch.autograd.grad(inputs.square(), inputs, given)
    (scaled,) = torch.autograd.grad(scaled_backward(torch.square, inputs), inputs, given)
    assert torch.equal(scaled, plain)
    assert torch.equal(scaled_backward(torch.square, inputs), inputs.square())


def test_what_is_not_finite_stays_so() -> None:
    inputs = torch.ones(3, 2, requires_grad=True)
    given = torch.tensor([[1.0, float("inf")], [float("nan"), 1.0], [1.0, 2.0]])
    (gradient,) = torch.autograd.grad(scaled_backward(torch.square, inputs), inputs, given)
    assert not gradient[0].isfinite().all() and not gradient[1].isfinite().all() and gradient[2].isfinite().all()


def test_nothing_waits_for_the_device() -> None:
    class NoReads(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            assert function is not torch.ops.aten._local_scalar_dense.default
            return function(*args, **(kwargs or {}))

    inputs = torch.ones(2, 3, requires_grad=True)
    with NoReads():
        scaled_backward(torch.square, inputs).backward(torch.ones(2, 3))
    assert inputs.grad is not None
