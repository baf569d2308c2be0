"""Eikonal loss of signed distances."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.math import meshes
from bozzetto.types import LossInputs
from bozzetto_plugins.loss.config import EikonalConfig


class Eikonal:
    """Mean of (|grad sdf| - 1)^2 at random points of the scene's cube (Gropp et al. 2020, IGR, eq. 2)."""

    def __init__(self, config: EikonalConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the eikonal loss at random points, a non-negative scalar; 0 if no point is within range.

        Raises:
            ConfigError: the geometry has no signed distances.
        """
        geometry, generator = inputs.geometry, inputs.generator
        points = torch.rand(self.config.points, 3, generator=generator, device=generator.device)
        points = ((2.0 * points - 1.0) * geometry.radius).requires_grad_()
        sdf = geometry(points).sdf
        if sdf is None:
            raise ConfigError(
                f"loss eikonal reads signed distances, and geometry {type(geometry).__name__} gives none. Use geometry "
                "sdf-grid or dmtet, or drop the loss."
            )
        (gradient,) = torch.autograd.grad(sdf.sum(), points, create_graph=True, materialize_grads=True)
        if self.config.within is not None:
            gradient = gradient[sdf.detach().abs() < self.config.within]
        return meshes.eikonal(gradient)
