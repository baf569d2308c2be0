"""The bundled priors' image codec for diffusers' own pipelines and for saving."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor

from bozzetto_plugins.priors.pixel_codec import Certain, PixelSettings


class PatchCodec(ModelMixin, ConfigMixin):
    """`PixelCodec` as a model of diffusers; the guidances load `PixelCodec`, which needs no diffusers."""

    config_name = "config.json"  # type: ignore[assignment] # None stands in its place in diffusers

    @register_to_config  # type: ignore[untyped-decorator] # it keeps the signature
    def __init__(
        self, latent_channels: int = 48, block_out_channels: Sequence[int] = (48, 48, 48), scaling_factor: float = 1.0
    ) -> None:
        initialize: Callable[[], None] = super().__init__  # not annotated in diffusers
        initialize()
        self.factor = PixelSettings(latent_channels, block_out_channels, scaling_factor).factor
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
