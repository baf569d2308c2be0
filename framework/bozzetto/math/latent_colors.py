"""Linear maps between latents of an image codec and colours, for scenes in latent space (Metzer et al. 2022).

"Latent-NeRF for Shape-Guided Generation of 3D Shapes and Textures", sec. 3.4: a linear layer from the four latents of
Stable Diffusion to RGB turns a scene of latents into one of colours, which is then refined.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["STABLE_DIFFUSION", "LatentCodec", "color_map", "colors_of_latents", "held_in_range", "latents_of_colors"]

LatentCodec = Literal["stable-diffusion", "pixels"]

STABLE_DIFFUSION = (
    (0.298, 0.187, -0.158, -0.184),
    (0.207, 0.286, 0.189, -0.271),
    (0.208, 0.173, 0.264, -0.473),
)
"""Red, green and blue in [-1, 1] of the four scaled latents of Stable Diffusion 1 and 2: the initial weights of the
linear layer in the authors' implementation (Latent-NeRF, `nerf_utils.py`)."""


def color_map(codec: LatentCodec, channels: int) -> Float[Tensor, "3 C"]:
    """Return the linear map from C latents to RGB in [-1, 1].

    Args:
        codec: `stable-diffusion`: `STABLE_DIFFUSION`, four channels; `pixels`: a codec whose latents are the pixels of
            a square patch, colour by colour, as `torch.pixel_unshuffle` orders them: the patch's mean colour.

    Raises:
        ValueError: the codec has another number of channels.
    """
    if codec == "stable-diffusion":
        if channels != 4:
            raise ValueError(f"latents of Stable Diffusion have 4 channels, got {channels}")
        return torch.tensor(STABLE_DIFFUSION)
    side = round((channels / 3) ** 0.5)
    if channels != 3 * side * side or side < 1:
        raise ValueError(f"latents that are pixels of a patch have 3 n^2 channels, e.g. 12 or 48, got {channels}")
    matrix: Tensor = torch.eye(3).repeat_interleave(side * side, dim=1) / (side * side)
    return matrix


def colors_of_latents(latents: Float[Tensor, "*S C"], matrix: Float[Tensor, "3 C"]) -> Float[Tensor, "*S 3"]:
    """Return RGB, in [0, 1] up to the error of the map: `(matrix latents + 1) / 2`."""
    return 0.5 * (latents @ matrix.T + 1.0)


def latents_of_colors(colors: Float[Tensor, "*S 3"], matrix: Float[Tensor, "3 C"]) -> Float[Tensor, "*S C"]:
    """Return the smallest latents whose colours these are: the pseudo-inverse of `colors_of_latents`."""
    latents: Tensor = (2.0 * colors - 1.0) @ torch.linalg.pinv(matrix).T
    return latents


def held_in_range(colors: Float[Tensor, "*S 3"]) -> Float[Tensor, "*S 3"]:
    """Clamp to [0, 1] with the gradient of the identity, so that a colour beyond the range can come back."""
    return colors + (colors.clamp(0.0, 1.0) - colors).detach()
