"""Lossless image codec of pixel-space models: latents are rearranged pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from bozzetto_plugins.priors.folder_network import FolderNetwork


@dataclass(frozen=True)
class Certain:
    """Distribution without variance, with the interface of diffusers' `DiagonalGaussianDistribution`."""

    mean: Float[Tensor, "B C h w"]

    @property
    def std(self) -> Float[Tensor, "B C h w"]:
        """Standard deviation: zero."""
        return torch.zeros_like(self.mean)

    def mode(self) -> Float[Tensor, "B C h w"]:
        """Return the mean."""
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "B C h w"]:
        """Return the mean."""
        return self.mean


@dataclass(frozen=True)
class PixelSettings:
    """Settings of a `PixelCodec`, with the names that they have in its `config.json`."""

    latent_channels: int = 48
    block_out_channels: Sequence[int] = (48, 48, 48)
    """Only its length is used: the downsampling factor is 2^(length - 1), as in diffusers."""
    scaling_factor: float = 1.0

    @property
    def factor(self) -> int:
        """Pixels along the side of a block. Raises `ValueError` unless the channels are its pixels."""
        factor: int = 2 ** (len(self.block_out_channels) - 1)
        if self.latent_channels != 3 * factor**2:
            raise ValueError(f"latent_channels: must be {3 * factor**2} for a factor of {factor}")
        return factor


class Encoded(NamedTuple):
    """Output of an encoder, as diffusers' networks return it."""

    latent_dist: Certain


class Decoded(NamedTuple):
    """Output of a decoder, as diffusers' networks return it."""

    sample: Float[Tensor, "B 3 H W"]


class PixelCodec(FolderNetwork):
    """Weightless stand-in for `AutoencoderKL`: each block of pixels becomes the channels of one latent position.

    Lossless; unit Gaussian noise stays unit Gaussian, and distillation gradients reach each pixel unchanged.
    `PatchCodec` is the one of diffusers.
    """

    SETTINGS: ClassVar[type] = PixelSettings
    config: PixelSettings

    def __init__(self, settings: PixelSettings) -> None:
        super().__init__(settings)
        self.factor = settings.factor
        self.register_buffer("unit", torch.ones(1))  # as in `PatchCodec`

    def encode(self, image: Float[Tensor, "B 3 H W"]) -> Encoded:
        """Encode images in [-1, 1] to latents "B C h w"."""
        return Encoded(Certain(functional.pixel_unshuffle(image, self.factor)))

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Decoded:
        """Decode latents to images in [-1, 1]."""
        return Decoded(functional.pixel_shuffle(latents, self.factor))
