"""Latents of many scenes in memory: any reference and any target of one of them make a training pair.

The pool has to be wide. Of 3072 scenes, renewed at a third of today's pace, the denoiser learned each by heart: loss
0.081 on them, 0.107 on fresh ones, and worse than before on those.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import ResNetForImageClassification

from bozzetto.math.relative_pose import relative_pose
from pairs import Pieces, draw_scenes, jitter_framing
from training import load_checkpoint, mixed_precision, save_checkpoint

LATENT = 16


@dataclass(frozen=True)
class PoolSettings:
    """Scenes kept, views of each, and the pace of renewal in scenes and training steps."""

    size: int = 16384
    first_fill: int = 768
    references: int = 2
    targets: int = 6
    renewed: int = 12
    renew_every: int = 8


@dataclass(frozen=True)
class Pairs:
    """B training examples."""

    target: Tensor
    """ "B C h w", the latents to be denoised."""
    reference: Tensor
    """ "B C h w"."""
    embedding: Tensor
    """ "B E", of the reference."""
    pose: Tensor
    """ "B 4", of the target as seen from the reference."""


class Pool:
    """Encoded scenes: latents of R references and T targets each, the references' embeddings, all cameras."""

    def __init__(self, settings: PoolSettings, channels: int, width: int) -> None:
        size, views = settings.size, settings.references + settings.targets
        self.settings = settings
        self.latents = torch.zeros(size, views, channels, LATENT, LATENT, dtype=torch.float16)
        self.embeddings = torch.zeros(size, settings.references, width, dtype=torch.float16)
        self.camera = torch.zeros(size, views, 3)
        self.filled, self.cursor = 0, 0

    @torch.no_grad()
    def renew(
        self, pieces: Pieces, vae: AutoencoderKL, encoder: ResNetForImageClassification, count: int, rng: random.Random
    ) -> None:
        """Put `count` new scenes in place of the oldest."""
        references = self.settings.references
        scenes = draw_scenes(pieces, count, references + self.settings.targets, rng)
        seen = jitter_framing(scenes.images[:, :references].flatten(0, 1)).unflatten(0, (count, references))
        images = torch.cat([seen, scenes.images[:, references:]], dim=1)
        with mixed_precision():
            flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            latents = vae.encode(flat).latent_dist.mean * vae.config.scaling_factor
            embedded = encoder(pixel_values=seen.flatten(0, 1)).logits
        rows = torch.arange(self.cursor, self.cursor + count) % len(self.camera)
        self.latents[rows] = latents.unflatten(0, (count, -1)).half()
        self.embeddings[rows] = embedded.unflatten(0, (count, references)).half()
        self.camera[rows] = scenes.camera
        self.cursor = (self.cursor + count) % len(self.camera)
        self.filled = min(self.filled + count, len(self.camera))

    def save(self, path: Path) -> None:
        """Write the scenes: after a restart with few the denoiser would learn those by heart."""
        scenes = {name: getattr(self, name)[: self.filled].clone() for name in ("latents", "embeddings", "camera")}
        save_checkpoint(path, {**scenes, "cursor": self.cursor})

    def restore(self, path: Path) -> None:
        """Read the scenes, if there are any."""
        found = load_checkpoint(path)
        if found is None:
            return
        self.cursor, self.filled = found.pop("cursor"), len(found["camera"])
        for name, rows in found.items():
            getattr(self, name)[: self.filled] = rows

    def draw(self, count: int) -> Pairs:
        """Random pairs, each of one scene."""
        scene = torch.randint(0, self.filled, (count,))
        reference = torch.randint(0, self.settings.references, (count,))
        target = self.settings.references + torch.randint(0, self.settings.targets, (count,))
        return Pairs(
            target=self.latents[scene, target].float(),
            reference=self.latents[scene, reference].float(),
            embedding=self.embeddings[scene, reference].float(),
            pose=relative_pose(self.camera[scene, target], self.camera[scene, reference]),
        )
