"""Conditioning of Zero123 models: encoded photos and the poses of views relative to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kinds.score import Branch
from bozzetto.math.relative_pose import PoseConvention, angle_between_deg
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.denoiser import Denoiser


@dataclass(frozen=True)
class EncodedReference:
    """Conditioning inputs of one photo."""

    latents: Float[Tensor, "1 C h w"]
    """Output of the image encoder, not scaled, as in the model's training."""
    embedding: Float[Tensor, "1 E"]
    """Embedding of the image encoder, or the recalled thing (`Recalled.numbers`)."""
    camera: Float[Tensor, "1 3"]
    """Azimuth and elevation in degrees, distance in world units."""
    position: Float[Tensor, "1 3"]


@dataclass(frozen=True)
class Views:
    """Conditioning of B views relative to K photos."""

    tokens: Float[Tensor, "K B 1 E"]
    nearness: Float[Tensor, "K B"]
    """Weight of each photo per view; sums to 1 over photos."""
    cameras: Float[Tensor, "B 17"] | None = None
    """`bozzetto_plugins.priors.camera_unet.camera_numbers`, for a denoiser that reads cameras."""


@runtime_checkable
class PosedPrior(Protocol):
    """Interface of a guidance that elevation estimation requires."""

    denoiser: Denoiser
    convention: PoseConvention

    def tokens(self, photo: EncodedReference, pose: Float[Tensor, "B 4"]) -> Float[Tensor, "B 1 E"]:
        """Return the conditioning tokens for poses relative to a photo."""

    def outputs(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], photos: Sequence[EncodedReference],
        views: Views, branches: Sequence[Branch],
    ) -> Mapping[Branch, Tensor]:  # fmt: skip
        """Return the output of the network for each branch."""


def spherical(cameras: Cameras) -> Float[Tensor, "B 3"]:
    """Return azimuth and elevation in degrees, and distance."""
    return torch.stack([cameras.azimuth_deg, cameras.elevation_deg, cameras.distance], dim=-1)


def angles_deg(photos: Sequence[EncodedReference], cameras: Cameras) -> Float[Tensor, "K B"]:
    """Return the angles between the viewing directions of photos and views, degrees."""
    here = cameras.position
    return torch.stack([angle_between_deg(here, photo.position.to(here).expand_as(here)) for photo in photos])
