"""FLUX.2 klein base (Black Forest Labs 2026): a rectified flow of patches of normalised latents, told by Qwen3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ModelError
from bozzetto.model_files import read_settings
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.qwen_states import TEXT_LENGTH, qwen_states
from bozzetto_plugins.guidance.model_families.schedules import FLOW_TIMES, read_flow
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout
from bozzetto_plugins.guidance.weights import reading

LAYERS = (9, 18, 27)
"""Hidden states of Qwen3 that make up a token."""
PATCH = 2
"""Side of a patch, latents of the image encoder."""


class Flux2Klein:
    """Implements `bozzetto_plugins.guidance.model_families.family.Family`.

    The prior's latents are patches of 2 x 2 of the image encoder's, as channels, normalised by the running mean and
    variance of the encoder's batch norm: an affine map, so the gradient returns through it to the encoder.
    """

    text_parts = ("tokenizer", "text_encoder")

    def __init__(self, parts: ModelParts) -> None:
        self.parts = parts
        denoiser, vae = self._networks(parts)
        with reading("FLUX.2's settings", parts.folder):
            self.latent_channels = PATCH**2 * int(vae.config.latent_channels)
            self.pixels_per_latent = PATCH * int(2 ** (len(vae.config.block_out_channels) - 1))
            self.image_size = parts.image_size or int(vae.config.sample_size)
            width = int(read_settings(parts.folder / "text_encoder" / "config.json")["hidden_size"])
            self.layout = WordsLayout(TEXT_LENGTH, len(LAYERS) * width)
            mean, variance = vae.bn.running_mean.float(), vae.bn.running_var.float()
            self.mean = mean.view(1, -1, 1, 1).to(parts.device, copy=True)
            self.deviation = (variance.view(1, -1, 1, 1) + float(vae.config.batch_norm_eps)).sqrt().to(parts.device)
            tokens = (self.image_size // self.pixels_per_latent) ** 2
        if denoiser.config.in_channels != self.latent_channels or denoiser.config.guidance_embeds:
            raise ModelError(
                f"{parts.folder}: the denoiser is not that of FLUX.2 klein base: it reads "
                f"{denoiser.config.in_channels} channels, not {self.latent_channels}, or was distilled with guidance. "
                "Choose flux.2-klein-base-4b."
            )
        self.schedule = read_flow(parts.folder, tokens, parts.device)

    @staticmethod
    def _networks(parts: ModelParts) -> tuple[Any, Any]:
        return parts.denoiser, parts.vae

    def normalised(self, latents: Float[Tensor, "B K i j"]) -> Float[Tensor, "B C h w"]:
        """Return patches of the image encoder's latents, normalised; differentiable."""
        normalised: Tensor = (nn.functional.pixel_unshuffle(latents, PATCH) - self.mean) / self.deviation
        return normalised

    def restored(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K i j"]:
        """Return the latents of normalised patches."""
        return self.unfolded(latents * self.deviation + self.mean)

    def unfolded(self, noise: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K i j"]:
        """Return the values of patches in their places."""
        return nn.functional.pixel_shuffle(noise, PATCH)

    def output(
        self,
        denoiser: nn.Module,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        words: Words,
        cameras: Cameras,
    ) -> Float[Tensor, "B C h w"]:
        """Return the velocity `eps - x0` that the denoiser says of the row of all patches."""
        height, width = noisy.shape[-2:]
        said: Tensor = denoiser(
            hidden_states=noisy.flatten(2).transpose(1, 2),
            timestep=(self.schedule.network_time(timestep) / FLOW_TIMES).to(noisy.dtype),
            guidance=None,
            encoder_hidden_states=words.tokens,
            txt_ids=_places(noisy, 1, 1, words.tokens.shape[1]),
            img_ids=_places(noisy, height, width, 1),
        ).sample
        velocity: Tensor = said.transpose(1, 2).unflatten(2, (height, width))
        return velocity

    def encode_text(self, texts: Sequence[str]) -> Words:
        """Encode texts; padding is a part of what the denoiser was trained with."""
        tokens, _ = qwen_states(self.parts, "Qwen3ForCausalLM", texts, LAYERS, thinking=False)
        return Words(tokens)


def _places(noisy: Float[Tensor, "B C h w"], rows: int, columns: int, tokens: int) -> Int[Tensor, "B N 4"]:
    """Return the four coordinates of each token: time, row, column, place in the text."""
    axes = [torch.arange(count, device=noisy.device) for count in (1, rows, columns, tokens)]
    return torch.cartesian_prod(*axes).expand(len(noisy), -1, -1)
