"""Material protocol: colour from features, normals and light. A `torch.nn.Module`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.types import Cameras, FieldOutput, Shading

__all__ = ["LatentMaterial", "Material"]


@runtime_checkable
class Material(Protocol):
    """Material model. Constructor: `Material(config, feature_count)`, with the geometry's feature count F."""

    def sample_shading(self, cameras: Cameras, step: int, generator: torch.Generator) -> Shading:
        """Sample light and shading mode for a training step, following the schedules of its config.

        The views of a group (`cameras.views_per_group`) share what is drawn: `bozzetto.math.view_draws.draw_groups`.
        """

    def eval_shading(self, cameras: Cameras) -> Shading:
        """Return the shading of evaluation images: albedo, unless the config says otherwise. Deterministic."""

    def __call__(
        self, field: FieldOutput, points: Float[Tensor, "S 3"], view: Int[Tensor, "S"], shading: Shading
    ) -> Float[Tensor, "S 3"]:
        """Return RGB in [0, 1] at points, lit by their view's light. Reads `field.normal` if the mode needs it.

        In the space `latent` of `shading`, which only a `LatentMaterial` chooses, latents "S C" instead.
        """

    def albedo(self, features: Float[Tensor, "S F"]) -> Float[Tensor, "S 3"]:
        """Return the base colour, RGB in [0, 1], as baked into textures."""


@runtime_checkable
class LatentMaterial(Protocol):
    """Material that can render latents; its config requires a renderer that provides `latent`."""

    def latents_of(self, colors: Float[Tensor, "R 3"]) -> Float[Tensor, "R C"]:
        """Return latents of RGB in [0, 1], for the background behind latents."""
