"""What a model of the Zero123 kind is told of photos, and how views lie to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.relative_pose import PoseConvention, angle_between_deg
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.denoiser import Denoiser


@dataclass(frozen=True)
class EncodedReference:
    """What the denoiser is told of one photo."""

    latents: Float[Tensor, "1 C h w"]
    """As the image encoder gives them, not scaled: so the model was trained."""
    embedding: Float[Tensor, "1 E"]
    """Of the image encoder, or what the photo brings to mind (`Recalled.numbers`)."""
    camera: Float[Tensor, "1 3"]
    """Azimuth and elevation in degrees, distance."""
    position: Float[Tensor, "1 3"]


@dataclass(frozen=True)
class Views:
    """How B views lie to K photos."""

    tokens: Float[Tensor, "K B 1 E"]
    nearness: Float[Tensor, "K B"]
    """How much each photo counts; sums to 1."""
    cameras: Float[Tensor, "B 17"] | None = None
    """`bozzetto_plugins.guidance.camera_unet.camera_numbers`, for a denoiser that is told them."""


@runtime_checkable
class PosedPrior(Protocol):
    """What the estimate of an elevation needs of a guidance."""

    denoiser: Denoiser
    convention: PoseConvention

    def tokens(self, photo: EncodedReference, pose: Float[Tensor, "B 4"]) -> Float[Tensor, "B 1 E"]:
        """What the denoiser attends to, for poses relative to a photo."""

    def predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], photos: Sequence[EncodedReference],
        views: Views, scale: float,
    ) -> Float[Tensor, "B C h w"]:  # fmt: skip
        """The guided output of the network."""


def spherical(cameras: Cameras) -> Float[Tensor, "B 3"]:
    """Azimuth and elevation in degrees, distance."""
    return torch.stack([cameras.azimuth_deg, cameras.elevation_deg, cameras.distance], dim=-1)


def angles_deg(photos: Sequence[EncodedReference], cameras: Cameras) -> Float[Tensor, "K B"]:
    """Between the directions from which the photos and the views look."""
    here = cameras.position
    return torch.stack([angle_between_deg(here, photo.position.to(here).expand_as(here)) for photo in photos])
