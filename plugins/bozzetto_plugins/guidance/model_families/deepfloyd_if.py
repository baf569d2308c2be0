"""DeepFloyd IF, first stage (2023): diffusion of pixels, 64 to a side, with T5-XXL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ModelError
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.schedules import read_preserving
from bozzetto_plugins.guidance.model_families.t5_states import t5_states
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout
from bozzetto_plugins.guidance.weights import reading

TEXT_LENGTH = 77
"""Tokens of a text that the model was trained with, though T5 takes more."""
COLOURS = 3


class DeepFloydIF:
    """Implements `bozzetto_plugins.guidance.model_families.family.Family`.

    The latents are the pixels in [-1, 1]. The second half of the network's output, a variance, is dropped. Prompts are
    lower-cased, as in training.
    """

    text_parts = ("tokenizer", "text_encoder")
    latent_channels = COLOURS
    pixels_per_latent = 1

    def __init__(self, parts: ModelParts) -> None:
        self.parts = parts
        denoiser: Any = parts.denoiser
        with reading("DeepFloyd IF's settings", parts.folder):
            config = denoiser.config
            self.image_size = parts.image_size or int(config.sample_size)
            self.layout = WordsLayout(TEXT_LENGTH, int(config.encoder_hid_dim))
        if config.in_channels != COLOURS or config.out_channels not in (COLOURS, 2 * COLOURS):
            raise ModelError(
                f"{parts.folder}: the denoiser reads {config.in_channels} channels: a later stage of DeepFloyd IF, "
                "which enlarges images. Choose the first, e.g. deepfloyd-if."
            )
        self.schedule = read_preserving(parts.folder, parts.device)

    def normalised(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return the pixels themselves."""
        return latents

    def restored(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return the pixels themselves."""
        return latents

    def unfolded(self, noise: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return the values themselves."""
        return noise

    def output(
        self,
        denoiser: nn.Module,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        words: Words,
        cameras: Cameras,
    ) -> Float[Tensor, "B C h w"]:
        """Return the noise that the denoiser says."""
        said: Tensor = denoiser(noisy, timestep, encoder_hidden_states=words.tokens).sample
        return said[:, :COLOURS]

    def encode_text(self, texts: Sequence[str]) -> Words:
        """Encode texts; T5 is told which tokens are padding, the denoiser is not."""
        lowered = [text.lower().strip() for text in texts]
        tokens, _ = t5_states(self.parts, "tokenizer", "text_encoder", lowered, TEXT_LENGTH, masked=True)
        return Words(tokens)
