"""Network classes that a model folder may contain, by class name, and their camera conditioning."""

from __future__ import annotations

import json
from pathlib import Path

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor

from bozzetto.types import Cameras
from bozzetto_plugins.priors.camera_unet import CAMERA_NUMBERS, CameraUNet, camera_numbers
from bozzetto_plugins.priors.patch_codec import PatchCodec

OURS: tuple[type[ModelMixin], ...] = (CameraUNet, PatchCodec)
USUAL: dict[str, type[ModelMixin]] = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
"""Default classes of diffusers, by part of the model."""


def family_of(part: Path) -> type[ModelMixin]:
    """Return the class of the network in folder `part` of a model: one of `OURS` if named, else diffusers' default."""
    try:
        named = json.loads((part / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError):
        named = None  # loading with the default class reports the error
    return next((family for family in OURS if family.__name__ == named), USUAL[part.name])


def reads_cameras(denoiser: ModelMixin) -> bool:
    """Return whether the denoiser's class labels are exact cameras."""
    return getattr(denoiser.config, "projection_class_embeddings_input_dim", None) == CAMERA_NUMBERS


def camera_labels(denoiser: ModelMixin, cameras: Cameras) -> Float[Tensor, "B 17"] | None:
    """Return the `class_labels` of a denoiser that reads cameras; None for any other."""
    return camera_numbers(cameras) if reads_cameras(denoiser) else None
