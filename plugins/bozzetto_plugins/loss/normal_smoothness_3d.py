"""Smoothness loss of normals in space."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math import losses
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import NormalSmoothness3dConfig


class NormalSmoothness3d:
    """Mean of |n(x) - n(x + epsilon * N(0, I))| over samples x (stable-dreamfusion); 0 if there are no samples."""

    def __init__(self, config: NormalSmoothness3dConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the smoothness loss of at most `max_points` sample normals, a non-negative scalar.

        Raises:
            ConfigError: the renderer is not a volume renderer, or no normals were rendered.
        """
        seen = reads.volume(inputs, "normal-smoothness-3d")
        normal, points = reads.sample_normals(seen, "normal-smoothness-3d"), seen.samples.points
        generator, device = inputs.generator, points.device
        if len(points) > self.config.max_points:
            chosen = torch.randint(len(points), (self.config.max_points,), generator=generator, device=device)
            normal, points = normal[chosen], points[chosen]
        noise = torch.randn(points.shape, generator=generator, device=device)
        neighbor = inputs.geometry(points + self.config.epsilon * noise, normal=True).normal
        return losses.mean_absolute_difference(normal, neighbor)
