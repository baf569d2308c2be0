"""Latents of training views and their captions, kept in memory and renewed while the denoiser trains."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL

import data
from training import load_checkpoint, mixed_precision, save_checkpoint

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

    def save(self, path: Path) -> None:
        """Keep what is in it, so that a restart need not encode it anew."""
        save_checkpoint(path, {"latents": self.latents, "captions": self.captions, "white": self.white})

    @classmethod
    def load(cls, path: Path) -> Pool | None:
        """A full pool, as it was saved; None if there is none."""
        state = load_checkpoint(path)
        return None if state is None else cls(**state, filled=len(state["captions"]))

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


@dataclass(frozen=True)
class Source:
    """What a pool is filled from; every `coloured_every`th time with backgrounds that are not white."""

    vae: AutoencoderKL
    views: data.Views
    rng: random.Random
    coloured_every: int

    def renew(self, pool: Pool, turn: int, count: int) -> None:
        """Put `count` new latents into `pool`."""
        white = turn % self.coloured_every != 0
        pool.add(*fresh_latents(self.vae, self.views, count, self.rng, WHITE if white else COLOURED), white)

    def fill(self, path: Path, size: int) -> Pool:
        """The full pool that was saved at `path`; if there is none, a new one of `size`, which is saved there."""
        kept = Pool.load(path)
        if kept is not None:
            return kept
        pool = Pool.empty(size, self.vae.config.latent_channels)
        for turn in range(size // 64):
            self.renew(pool, turn, 64)
        pool.save(path)
        return pool
