"""Normals of a density field: the direction of steepest descent, so they point out of the object.

Each function takes the field as a callable. Any increasing function of the density has the same normals; pass the raw
density before its activation, because it does not underflow far from the surface.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.constants import constant

__all__ = ["DifferenceSamples", "finite_difference_normal", "safe_normalize", "with_analytic_normal"]

DifferenceSamples = Literal[4, 6]

DIRECTIONS: dict[int, tuple[tuple[float, float, float], ...]] = {
    4: ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)),
    6: ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)),
}
"""Finite-difference directions by sample count: corners of a tetrahedron, or both ways along each axis."""


def safe_normalize(vectors: Float[Tensor, "S 3"], smallest: float = 1e-10) -> Float[Tensor, "S 3"]:
    """Normalise vectors; those shorter than `smallest` become zero with zero gradient instead of an infinite one."""
    squared = (vectors * vectors).sum(dim=-1, keepdim=True)
    usable = squared > smallest**2
    return vectors * torch.where(usable, torch.where(usable, squared, 1.0).rsqrt(), 0.0)


def with_analytic_normal(
    field: Callable[[Float[Tensor, "S 3"]], tuple[Float[Tensor, "S"], Float[Tensor, "S E"]]],
    points: Float[Tensor, "S 3"],
) -> tuple[Float[Tensor, "S"], Float[Tensor, "S E"], Float[Tensor, "S 3"]]:
    """Return value, auxiliary output and normal of `field` at points, from one evaluation and one backward pass.

    `field` returns the value whose negative gradient is the normal, and any auxiliary output of the same evaluation.
    Works under `torch.no_grad` and `torch.inference_mode`, and then keeps no graph. Otherwise the normal is
    differentiable in the parameters of the field (which must be twice differentiable), and in points that require grad.
    """
    differentiable = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        at = points if differentiable and points.requires_grad else points.detach().clone().requires_grad_()
        value, companion = field(at)
        (gradient,) = torch.autograd.grad(value.sum(), at, create_graph=differentiable, materialize_grads=True)
    if not differentiable:
        value, companion = value.detach(), companion.detach()
    return value, companion, safe_normalize(-gradient)


def finite_difference_normal(
    field: Callable[[Float[Tensor, "N 3"]], Float[Tensor, "N"]],
    points: Float[Tensor, "S 3"],
    eps: float,
    samples: DifferenceSamples = 6,
) -> Float[Tensor, "S 3"]:
    """Compute normals by finite differences of step `eps` (world units); calls `field` once on `samples` * S points.

    6: central differences, error of order eps^2. 4: a tetrahedron (Quilez, Normals for an SDF), a third cheaper, with
    an error of order eps times the mixed second derivatives.
    """
    directions = constant(DIRECTIONS[samples], points.device, points.dtype)
    looks = points[None] + eps * directions[:, None]
    values = field(looks.flatten(0, 1)).unflatten(0, (samples, len(points)))
    # The sum of the outer products of the directions is 2 or 4 times the identity.
    gradient = torch.einsum("ks,kc->sc", values, directions) / (eps * (2.0 if samples == 6 else 4.0))
    return safe_normalize(-gradient)
