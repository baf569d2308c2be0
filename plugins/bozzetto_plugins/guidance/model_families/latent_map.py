"""Map between the image encoder's latents and those of a denoiser: subtract a shift, multiply by a scale."""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["AffineLatents"]


class AffineLatents:
    """Latents `(z - shift) * scale` of diffusers' `AutoencoderKL`; a part of most families.

    Raises:
        ValueError: its settings give no valid scale.
    """

    def __init__(self, vae: nn.Module | None) -> None:
        config: Any = getattr(vae, "config", None)
        self.scale, self.shift = float(config.scaling_factor), float(config.shift_factor or 0.0)
        if not (0.0 < self.scale < math.inf and math.isfinite(self.shift)):
            raise ValueError(f"scaling_factor {self.scale} and shift_factor {self.shift} are no valid map of latents")
        self.latent_channels = int(config.latent_channels)
        self.pixels_per_latent = int(2 ** (len(config.block_out_channels) - 1))

    def normalised(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return latents of the image encoder as the denoiser's; differentiable."""
        return (latents - self.shift) * self.scale

    def restored(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return the denoiser's latents as the image decoder's."""
        return latents / self.scale + self.shift

    def unfolded(self, noise: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return the values themselves."""
        return noise
