"""Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv:2403.03206): a rectified flow with three text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ModelError
from bozzetto.model_files import read_settings
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.model_families.clip_states import clip_states
from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.latent_map import AffineLatents
from bozzetto_plugins.guidance.model_families.schedules import read_flow
from bozzetto_plugins.guidance.model_families.t5_states import t5_states
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout
from bozzetto_plugins.guidance.weights import reading

CLIPS = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
T5 = ("tokenizer_3", "text_encoder_3")
T5_LENGTH = 256
"""Tokens of a text, as diffusers' pipeline has it by default."""


class SD3(AffineLatents):
    """Implements `bozzetto_plugins.guidance.model_families.family.Family`.

    Tokens are the penultimate hidden states of two CLIPs side by side, filled up with zeros to the width of T5, and
    behind them those of T5, or zeros without it; the pooled vectors of both CLIPs are joined.
    """

    def __init__(self, parts: ModelParts) -> None:
        self.parts = parts
        denoiser: Any = parts.denoiser
        with reading("Stable Diffusion 3's settings", parts.folder):
            super().__init__(parts.vae)
            config = denoiser.config
            self.image_size = parts.image_size or int(config.sample_size) * self.pixels_per_latent
            self.pixels_per_latent_patch = self.pixels_per_latent * int(config.patch_size)
            self.clip_length = int(
                read_settings(parts.folder / "text_encoder" / "config.json")["max_position_embeddings"]
            )
            self.layout = WordsLayout(
                self.clip_length + T5_LENGTH, int(config.joint_attention_dim), pooled=int(config.pooled_projection_dim)
            )
            tokens = (self.image_size // self.pixels_per_latent_patch) ** 2
        if config.in_channels != self.latent_channels or self.image_size % self.pixels_per_latent_patch:
            raise ModelError(
                f"{parts.folder}: images of {self.image_size} pixels and {self.latent_channels} latent channels do not "
                f"fit a denoiser of {config.in_channels} channels and patches of {self.pixels_per_latent_patch} pixels."
            )
        self.schedule = read_flow(parts.folder, tokens, parts.device)
        self.has_t5 = parts.long_text and (parts.folder / T5[1]).is_dir()
        self.text_parts = tuple(part for pair in (*CLIPS, *([T5] if self.has_t5 else [])) for part in pair)

    def output(
        self,
        denoiser: nn.Module,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        words: Words,
        cameras: Cameras,
    ) -> Float[Tensor, "B C h w"]:
        """Return the velocity `eps - x0` that the denoiser says."""
        said: Tensor = denoiser(
            hidden_states=noisy, timestep=self.schedule.network_time(timestep), encoder_hidden_states=words.tokens,
            pooled_projections=words.pooled,
        ).sample  # fmt: skip
        return said

    def encode_text(self, texts: Sequence[str]) -> Words:
        """Encode texts; one encoder at a time is in memory."""
        states = [
            clip_states(self.parts, tokenizer, encoder, "CLIPTextModelWithProjection", texts, self.clip_length)
            for tokenizer, encoder in CLIPS
        ]
        clip = torch.cat([state.tokens for state in states], dim=-1)
        clip = torch.nn.functional.pad(clip, (0, self.layout.width - clip.shape[-1]))
        if self.has_t5:
            long, _ = t5_states(self.parts, *T5, texts, T5_LENGTH, masked=False)
        else:
            long = clip.new_zeros(len(texts), T5_LENGTH, self.layout.width)
        return Words(torch.cat([clip, long], dim=1), torch.cat([state.pooled for state in states], dim=-1))
