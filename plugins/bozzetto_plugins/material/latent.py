"""Unlit material of scenes in the latent space of a diffusion model."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ConfigError
from bozzetto.math.latent_colors import color_map, colors_of_latents, held_in_range, latents_of_colors
from bozzetto.types import Cameras, FieldOutput, Shading
from bozzetto_plugins.material.config import LatentConfig


class Latent(nn.Module):
    """Latent-NeRF's material (Metzer et al. 2022, arXiv:2211.07600): the geometry's features are latents.

    In space `latent`, training renders the latents, and evaluation their colours by the linear map of the codec. In
    space `rgb`, both render colours, and the map is trained. Trainable parameter: `to_rgb`, "3 C".
    """

    def __init__(self, config: LatentConfig, feature_count: int) -> None:
        super().__init__()
        self.config = config
        try:
            initial = color_map(config.codec, feature_count)
        except ValueError as error:
            raise ConfigError(f"material latent: {error}. Set system.geometry.feature_count to the model's.") from None
        self.to_rgb = nn.Parameter(initial)

    def sample_shading(self, cameras: Cameras, step: int, generator: torch.Generator) -> Shading:
        """Return unlit shading in the config's space; draws no random numbers."""
        return self._unlit(cameras, self.config.space == "latent")

    def eval_shading(self, cameras: Cameras) -> Shading:
        """Return unlit shading in colours."""
        return self._unlit(cameras, False)

    def _unlit(self, cameras: Cameras, latent: bool) -> Shading:
        nothing = torch.zeros_like(cameras.position)
        return Shading("albedo", nothing, torch.ones_like(nothing), nothing, "latent" if latent else "rgb")

    def forward(
        self, field: FieldOutput, points: Float[Tensor, "S 3"], view: Int[Tensor, "S"], shading: Shading
    ) -> Float[Tensor, "S C"]:
        """Return the features in latent space, else RGB in [0, 1]."""
        return field.features if shading.space == "latent" else self.albedo(field.features)

    def latents_of(self, colors: Float[Tensor, "R 3"]) -> Float[Tensor, "R C"]:
        """Return the smallest latents of these colours, for backgrounds."""
        return latents_of_colors(colors, self.to_rgb.detach())

    def albedo(self, features: Float[Tensor, "S C"]) -> Float[Tensor, "S 3"]:
        """Return RGB in [0, 1] by the linear map."""
        return held_in_range(colors_of_latents(features, self.to_rgb))
