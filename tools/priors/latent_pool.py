"""Latents of training views and their captions, kept in memory and renewed while the denoiser trains."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL

import data
from training import mixed_precision

WHITE = data.Augmentation(white_background=1.0)
"""No caption names the background, and its colour would be most of what is uncertain in pure noise."""
COLOURED = data.Augmentation(white_background=0.0, grey_background=0.5)


@dataclass
class Pool:
    """Latents "P C 16 16" ready to be noised, the caption of each, and whether its background is white."""

    latents: torch.Tensor
    captions: list[str]
    white: torch.Tensor
    filled: int = 0
    cursor: int = 0

    @classmethod
    def empty(cls, size: int, channels: int) -> Pool:
        """Room for `size` latents, in half precision."""
        latents = torch.zeros(size, channels, 16, 16, dtype=torch.float16)
        return cls(latents, [""] * size, torch.zeros(size, dtype=torch.bool))

    def add(self, latents: torch.Tensor, captions: list[str], white: bool) -> None:
        """Put new latents in place of the oldest."""
        for latent, caption in zip(latents, captions, strict=True):
            self.latents[self.cursor] = latent
            self.captions[self.cursor] = caption
            self.white[self.cursor] = white
            self.cursor = (self.cursor + 1) % len(self.captions)
            self.filled = max(self.filled, self.cursor, self.filled + (self.filled < len(self.captions)))

    def draw(self, count: int) -> tuple[torch.Tensor, list[str], torch.Tensor]:
        """Random latents, their captions, and which have a white background."""
        rows = torch.randint(0, min(self.filled, len(self.captions)), (count,))
        return self.latents[rows].float(), [self.captions[int(row)] for row in rows], self.white[rows]


@torch.no_grad()
def fresh_latents(
    vae: AutoencoderKL, views: data.Views, count: int, rng: random.Random, aug: data.Augmentation
) -> tuple[torch.Tensor, list[str]]:
    """Latents "count C 16 16" of unit scale, of newly augmented views."""
    images, _, captions = data.draw_batch(views, count, rng, aug)
    images = images.contiguous(memory_format=torch.channels_last)
    with mixed_precision():
        mean = vae.encode(images).latent_dist.mean
    return mean.float() * vae.config.scaling_factor, captions
