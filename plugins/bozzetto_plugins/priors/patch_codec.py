"""Lossless image codec of pixel-space models: latents are rearranged pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Certain:
    """Distribution without variance, with the interface of diffusers' `DiagonalGaussianDistribution`."""

    mean: Float[Tensor, "B C h w"]

    @property
    def std(self) -> Float[Tensor, "B C h w"]:
        """Standard deviation: 0 everywhere."""
        return torch.zeros_like(self.mean)

    def mode(self) -> Float[Tensor, "B C h w"]:
        """Return the mean."""
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "B C h w"]:
        """Return the mean."""
        return self.mean


class PatchCodec(ModelMixin, ConfigMixin):
    """Weightless stand-in for `AutoencoderKL`: each block of pixels becomes the channels of one latent position.

    Lossless; unit Gaussian noise stays unit Gaussian, and distillation gradients reach each pixel unchanged. Only the
    length of `block_out_channels` is used, as in diffusers: the downsampling factor is 2^(length - 1).
    """

    config_name = "config.json"  # type: ignore[assignment] # None stands in its place in diffusers

    @register_to_config  # type: ignore[untyped-decorator] # it keeps the signature
    def __init__(
        self, latent_channels: int = 48, block_out_channels: Sequence[int] = (48, 48, 48), scaling_factor: float = 1.0
    ) -> None:
        initialize: Callable[[], None] = super().__init__  # not annotated in diffusers
        initialize()
        self.factor = 2 ** (len(block_out_channels) - 1)
        if latent_channels != 3 * self.factor**2:
            raise ValueError(f"latent_channels: must be {3 * self.factor**2} for a factor of {self.factor}")
        self.register_buffer("unit", torch.ones(1))  # provides `device` and `dtype` of the module

    def encode(self, x: Float[Tensor, "B 3 H W"], return_dict: bool = True) -> AutoencoderKLOutput | tuple[Certain]:
        """Encode images in [-1, 1] to latents "B C h w"."""
        latents = Certain(torch.nn.functional.pixel_unshuffle(x, self.factor))
        return AutoencoderKLOutput(latent_dist=latents) if return_dict else (latents,)

    def decode(
        self, z: Float[Tensor, "B C h w"], return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        """Decode latents to images in [-1, 1]; `generator` is ignored."""
        picture = torch.nn.functional.pixel_shuffle(z, self.factor)
        return DecoderOutput(sample=picture) if return_dict else (picture,)
