"""Network classes that a model folder may contain, by class name, and their camera conditioning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.types import Cameras
from bozzetto_plugins.priors.camera_denoiser import CAMERA_NUMBERS, CameraDenoiser, camera_numbers
from bozzetto_plugins.priors.camera_network import CameraNetwork
from bozzetto_plugins.priors.pixel_codec import PixelCodec

OURS: Mapping[str, type[nn.Module]] = {"CameraUNet": CameraNetwork, "PatchCodec": PixelCodec}
"""Classes of the bundled priors, by the names of their forms for diffusers."""

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
"""Linear layers of diffusers' attention, which ProlificDreamer adapts."""
CONVOLUTIONS = ("conv_in", "conv1", "conv2", "conv_out")
"""Convolutions of the bundled priors' network, which has no attention."""


def family_of(part: Path) -> type[nn.Module]:
    """Return the class of the network in folder `part` of a model: one of `OURS` if named, else diffusers' default.

    It has diffusers' class methods `from_config` and `from_pretrained`.
    """
    try:
        named = json.loads((part / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError):
        named = None  # loading with the default class reports the error
    return OURS[named] if isinstance(named, str) and named in OURS else _usual(part.name)


def _usual(part: str) -> type[nn.Module]:
    """Return diffusers' class for a part of a model; the import takes seconds."""
    if part == "unet":
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        unet: type[nn.Module] = UNet2DConditionModel
        return unet
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    vae: type[nn.Module] = AutoencoderKL
    return vae


def adapted_part(denoiser: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Return the part of a denoiser that takes an adapter, and the ends of the names of its adapted layers.

    It has diffusers' submodule `time_embedding`, whose last layer is `linear_2`.
    """
    if isinstance(denoiser, CameraDenoiser):
        return denoiser.refine, CONVOLUTIONS
    return denoiser, ATTENTION


def reads_cameras(denoiser: nn.Module) -> bool:
    """Return whether the denoiser's class labels are exact cameras."""
    return getattr(denoiser.config, "projection_class_embeddings_input_dim", None) == CAMERA_NUMBERS


def camera_labels(denoiser: nn.Module, cameras: Cameras) -> Float[Tensor, "B 17"] | None:
    """Return the `class_labels` of a denoiser that reads cameras; None for any other."""
    return camera_numbers(cameras) if reads_cameras(denoiser) else None
