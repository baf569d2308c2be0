"""Conversion from renders to the inputs of a latent diffusion model."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.types import Rendered


def resize(image: Float[Tensor, "B C H W"], size: tuple[int, int]) -> Float[Tensor, "B C h w"]:
    """Resize bilinearly, with antialiasing when downsampling; returns the image itself if the size matches."""
    if image.shape[-2:] == size:
        return image
    shrinks = image.shape[-2] > size[0] or image.shape[-1] > size[1]
    return torch.nn.functional.interpolate(image, size, mode="bilinear", align_corners=False, antialias=shrinks)


def image_to_input(rendered: Rendered, size: tuple[int, int]) -> Float[Tensor, "B 3 h w"]:
    """Return an RGB image in [0, 1] at the input size of the image encoder."""
    if rendered.image.shape[-1] != 3:
        raise ValueError(f"an image in space 'rgb' has 3 channels, got {rendered.image.shape[-1]}")
    return resize(rendered.image.permute(0, 3, 1, 2).float(), size)


def latents_of_latent(rendered: Rendered, channels: int, size: tuple[int, int]) -> Float[Tensor, "B C h w"]:
    """Return an image rendered in latent space (Latent-NeRF), resized to the denoiser's latent size.

    Raises:
        ConfigError: the scene has a different number of channels than the model.
    """
    if rendered.image.shape[-1] != channels:
        raise ConfigError(
            f"The scene is rendered in {rendered.image.shape[-1]} latent channels and the model has {channels}. "
            f"Give the material {channels} outputs or choose another model."
        )
    return resize(rendered.image.permute(0, 3, 1, 2).float(), size)


def latents_of_normals(rendered: Rendered, size: tuple[int, int]) -> Float[Tensor, "B 4 h w"]:
    """Return normals and opacity in [-1, 1] as the 4 latent channels: the warm-up of stable-dreamfusion.

    Raises:
        ConfigError: no normals were rendered.
    """
    if rendered.normal is None:
        raise ConfigError(
            "guidance.as_latent_until_step: the warm-up reads rendered normals, and there are none. "
            "Choose a renderer and geometry that give normals, or set it to 0."
        )
    pictures = torch.cat([0.5 * rendered.normal + 0.5, rendered.opacity], dim=-1)
    return resize(2.0 * pictures.permute(0, 3, 1, 2).float() - 1.0, size)


def to_pictures(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W 3"]:
    """Move the channels last."""
    return images.permute(0, 2, 3, 1)
