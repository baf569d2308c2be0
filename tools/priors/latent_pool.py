"""Latents of training views and their captions, kept in memory and renewed while the denoiser trains."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL

import data
from training import mixed_precision


@dataclass
class Pool:
    """Latents "P C 16 16" ready to be noised, and the caption of each."""

    latents: torch.Tensor
    captions: list[str]
    filled: int = 0
    cursor: int = 0

    def add(self, latents: torch.Tensor, captions: list[str]) -> None:
        """Put new latents in place of the oldest."""
        for latent, caption in zip(latents, captions, strict=True):
            self.latents[self.cursor] = latent
            self.captions[self.cursor] = caption
            self.cursor = (self.cursor + 1) % len(self.captions)
            self.filled = max(self.filled, self.cursor, self.filled + (self.filled < len(self.captions)))

    def draw(self, count: int) -> tuple[torch.Tensor, list[str]]:
        """Random latents and their captions."""
        rows = torch.randint(0, min(self.filled, len(self.captions)), (count,))
        return self.latents[rows].float(), [self.captions[int(row)] for row in rows]


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
