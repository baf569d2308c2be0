"""The classes of networks that a model folder may hold, by the name in their settings, and what they are told."""

from __future__ import annotations

import json
from pathlib import Path

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor

from bozzetto.types import Cameras
from bozzetto_plugins.guidance.camera_unet import CAMERA_NUMBERS, CameraUNet, camera_numbers
from bozzetto_plugins.guidance.patch_codec import PatchCodec

OURS: tuple[type[ModelMixin], ...] = (CameraUNet, PatchCodec)
USUAL: dict[str, type[ModelMixin]] = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
"""Classes of diffusers, by the part of the model."""


def family_of(part: Path) -> type[ModelMixin]:
    """The class of the network in the folder `part` of a model: one of ours if it says so, else diffusers' own."""
    try:
        named = json.loads((part / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError):
        named = None  # the usual class tells, being loaded, what is wrong
    return next((family for family in OURS if family.__name__ == named), USUAL[part.name])


def reads_cameras(denoiser: ModelMixin) -> bool:
    """True for a denoiser whose class labels are exact cameras."""
    return getattr(denoiser.config, "projection_class_embeddings_input_dim", None) == CAMERA_NUMBERS


def camera_labels(denoiser: ModelMixin, cameras: Cameras) -> Float[Tensor, "B 17"] | None:
    """The `class_labels` of a denoiser that is told exact cameras; None for another."""
    return camera_numbers(cameras) if reads_cameras(denoiser) else None
