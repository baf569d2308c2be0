"""SDXL (Podell et al. 2023, arXiv:2307.01952): two text encoders, a pooled vector, and the size of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ModelError
from bozzetto.model_files import read_settings
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.model_families.clip_states import ClipStates, clip_states
from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.latent_map import AffineLatents
from bozzetto_plugins.guidance.model_families.schedules import read_preserving
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout
from bozzetto_plugins.guidance.weights import reading

CLIPS = (
    ("tokenizer", "text_encoder", "CLIPTextModel"),
    ("tokenizer_2", "text_encoder_2", "CLIPTextModelWithProjection"),
)


class SDXL(AffineLatents):
    """Implements `bozzetto_plugins.guidance.model_families.family.Family`.

    Tokens are the penultimate hidden states of CLIP-L and CLIP-G side by side, the pooled vector is CLIP-G's. The empty
    text is all zeros if the model was trained so (`force_zeros_for_empty_prompt`). The size, the crop and the target
    size that the network is told are those of an uncropped image.
    """

    text_parts = tuple(part for tokenizer, encoder, _ in CLIPS for part in (tokenizer, encoder))

    def __init__(self, parts: ModelParts) -> None:
        self.parts = parts
        denoiser: Any = parts.denoiser
        with reading("SDXL's settings", parts.folder):
            super().__init__(parts.vae)
            config = denoiser.config
            self.image_size = parts.image_size or int(config.sample_size) * self.pixels_per_latent
            pooled = int(config.projection_class_embeddings_input_dim) - 6 * int(config.addition_time_embed_dim)
            length = int(read_settings(parts.folder / "text_encoder" / "config.json")["max_position_embeddings"])
            self.layout = WordsLayout(length, int(config.cross_attention_dim), pooled=pooled)
        if pooled <= 0 or config.in_channels != self.latent_channels or config.time_cond_proj_dim is not None:
            raise ModelError(
                f"{parts.folder}: the denoiser is not that of SDXL's text-to-image model: inpainting and distilled "
                "models cannot guide. Choose another model, e.g. sdxl."
            )
        self.schedule = read_preserving(parts.folder, parts.device)
        side = float(self.image_size)
        self.sizes = torch.tensor([side, side, 0.0, 0.0, side, side], device=parts.device)
        self.zeros = parts.settings.get("force_zeros_for_empty_prompt", True) is True

    def output(
        self,
        denoiser: nn.Module,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        words: Words,
        cameras: Cameras,
    ) -> Float[Tensor, "B C h w"]:
        """Return what the denoiser says."""
        sizes = self.sizes.to(noisy.dtype).expand(len(noisy), -1)
        said: Tensor = denoiser(
            noisy, timestep, encoder_hidden_states=words.tokens,
            added_cond_kwargs={"text_embeds": words.pooled, "time_ids": sizes},
        ).sample  # fmt: skip
        return said

    def encode_text(self, texts: Sequence[str]) -> Words:
        """Encode texts; one encoder at a time is in memory."""
        parts = self.parts
        states: list[ClipStates] = [
            clip_states(parts, tokenizer, encoder, kind, texts, self.layout.length)
            for tokenizer, encoder, kind in CLIPS
        ]
        tokens, pooled = torch.cat([state.tokens for state in states], dim=-1), states[-1].pooled
        if self.zeros:
            told = torch.tensor([text != "" for text in texts], device=tokens.device)
            tokens = torch.where(told[:, None, None], tokens, 0.0)
            pooled = torch.where(told[:, None], pooled, 0.0)
        return Words(tokens, pooled)
