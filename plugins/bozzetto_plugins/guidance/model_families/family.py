"""Protocol of a family of diffusion models: what differs between them, without their weights."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.math.levels import Level, Output
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.model_families.known import KnownFamily
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout

__all__ = ["Family", "ModelParts", "Schedule", "family_of_parts"]


@runtime_checkable
class Schedule(Protocol):
    """Noise levels of a model, by timestep in [0, T); noise increases with it."""

    train_steps: int
    """T."""
    output: Output
    """What the network predicts."""

    def level(self, timestep: Int[Tensor, "B"]) -> Level:
        """Return signal and noise at each timestep."""

    def network_time(self, timestep: Int[Tensor, "B"]) -> Tensor:
        """Return each timestep in the unit of diffusers' samplers: an index, or 1000 sigma of a flow."""


@dataclass(frozen=True)
class ModelParts:
    """Networks of a model without those of text, as a family is told of them."""

    folder: Path
    settings: Mapping[str, Any]
    """Of `model_index.json`."""
    denoiser: nn.Module
    vae: nn.Module | None
    """None: the denoiser is of pixels."""
    device: torch.device
    dtype: torch.dtype
    """Of the denoiser and the text encoders."""
    image_size: int | None
    """Side of the images given to the model, pixels; None: what it was trained on."""
    long_text: bool
    """Whether to encode texts with T5, where that is optional."""


@runtime_checkable
class Family(Protocol):
    """Family of models. Constructor: `Family(parts)`; it raises `ModelError` for parts that do not fit together.

    Latents are those of the prior, as the denoiser reads them: "B C h w", about unit variance. Networks stay outside
    and are arguments, so that their weights can be offloaded.
    """

    schedule: Schedule
    layout: WordsLayout
    latent_channels: int
    """C, channels of the latents."""
    pixels_per_latent: int
    """Side of the images over side of the latents."""
    image_size: int
    """Side of the images, pixels."""
    text_parts: tuple[str, ...]
    """Folders that the embeddings of texts depend on."""

    def normalised(self, latents: Float[Tensor, "B K i j"]) -> Float[Tensor, "B C h w"]:
        """Return latents of the image encoder as the denoiser's; differentiable."""

    def restored(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K i j"]:
        """Return the denoiser's latents as the image decoder's: the inverse of `normalised`."""

    def unfolded(self, noise: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K i j"]:
        """Return values of the latents' shape in the shape of the image encoder's, each once."""

    def output(
        self,
        denoiser: nn.Module,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        words: Words,
        cameras: Cameras,
    ) -> Float[Tensor, "B C h w"]:
        """Return what the denoiser says in the unit of `schedule.output`.

        Args:
            words: on the denoiser's device and in its data type.
            cameras: of the views; B may be a multiple of their number, branch after branch.
        """

    def encode_text(self, texts: Sequence[str]) -> Words:
        """Encode texts; each text encoder is in memory only while it encodes."""


def family_of_parts(known: KnownFamily, parts: ModelParts) -> Family:
    """Return the family of a model."""
    module, _, name = known.target.partition(":")
    return cast(Family, getattr(importlib.import_module(module), name)(parts))
