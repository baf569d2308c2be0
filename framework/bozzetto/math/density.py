"""Volume density: activations of a network's raw output, and initial density blobs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "SMALLEST_SQUARED_RADIUS",
    "DensityActivation",
    "activate_density",
    "blob_dreamfusion",
    "blob_magic3d",
    "truncated_exp",
    "volsdf_density",
]

DensityActivation = Literal["exp", "softplus"]

MAX_EXPONENT = 15.0
"""Exponent at which the gradient of `truncated_exp` stops growing."""

SMALLEST_SQUARED_RADIUS = 1e-12
"""Minimum squared distance to the origin, so that derivatives of any order stay finite."""


class _TruncatedExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw: Tensor) -> Tensor:
        value = raw.exp()
        ctx.save_for_backward(value)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        value: Tensor = ctx.saved_tensors[0]
        return gradient * value.clamp(max=math.exp(MAX_EXPONENT))


def truncated_exp(raw: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """Compute exp(raw) with the derivative exp(min(raw, 15)). Twice differentiable.

    Without the bound, one sample with a large raw density dominates a whole step. From instant-ngp
    (`network_to_density_derivative`, nerf_device.cuh), which clamps the exponent to [-15, 15]; the lower bound is
    omitted here, since it would push up densities that are already zero.
    """
    apply: Callable[[Tensor], Tensor] = _TruncatedExp.apply  # not annotated in torch
    return apply(raw)


def activate_density(raw: Float[Tensor, "*S"], activation: DensityActivation) -> Float[Tensor, "*S"]:
    """Map a raw value to a non-negative density: truncated exp or softplus, log(1 + exp(raw))."""
    return truncated_exp(raw) if activation == "exp" else torch.nn.functional.softplus(raw)


def blob_dreamfusion(points: Float[Tensor, "S 3"], scale: float, std: float) -> Float[Tensor, "S"]:
    """Evaluate a Gaussian blob, scale * exp(-r^2 / (2 std^2)), to be added to the raw density.

    DreamFusion (Poole et al. 2022), appendix, with scale 5 and std 0.2.
    """
    squared = (points * points).sum(dim=-1)
    return scale * torch.exp(squared * (-0.5 / std**2))


def blob_magic3d(points: Float[Tensor, "S 3"], scale: float, std: float) -> Float[Tensor, "S"]:
    """Evaluate a cone, scale * (1 - r / std), to be added to the raw density: positive for r < std, decreasing beyond.

    Magic3D (Lin et al. 2023), with scale 10 and std 0.5.
    """
    squared = (points * points).sum(dim=-1)
    return scale * (1.0 - squared.clamp(min=SMALLEST_SQUARED_RADIUS).sqrt() / std)


def volsdf_density(sdf: Float[Tensor, "*S"], beta: Float[Tensor, ""]) -> Float[Tensor, "*S"]:
    """Return `Psi(-sdf) / beta`, where Psi is the distribution function of Laplace noise of scale `beta`.

    VolSDF (Yariv et al. 2021, arXiv:2106.12052), eq. 2 and 3, with alpha = 1 / beta: 1 / beta deep inside, half of that
    on the surface, 0 far outside. As beta falls, the volume becomes the surface.

    Args:
        sdf: signed distances, world units, negative inside.
        beta: scale, world units, above 0.
    """
    tail = 0.5 * torch.exp(-sdf.abs() / beta)
    return torch.where(sdf > 0.0, tail, 1.0 - tail) / beta
