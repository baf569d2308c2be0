"""Sampler of a text prior from exact cameras."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float
from torch import Tensor

from bozzetto.types import Cameras
from bozzetto_plugins.guidance.clip_text import ClipText
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.families import camera_labels


class Sampler:
    """Sampler of a prior from exact cameras."""

    def __init__(self, folder: Path) -> None:
        cpu = torch.device("cpu")
        self.denoiser = Denoiser(folder, cpu, torch.float32)
        self.text = ClipText(folder, cpu, torch.float32)
        self.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")

    @property
    def size(self) -> int:
        """Side of a sample, pixels."""
        return self.denoiser.image_size[0]

    @torch.no_grad()
    def __call__(self, prompt: str, cameras: Cameras, steps: int, seed: int) -> Float[Tensor, "V 3 S S"]:
        """Sample a prompt as seen by each camera, in [0, 1]; every image starts from its own noise."""
        denoiser, generator = self.denoiser, torch.Generator().manual_seed(seed)
        text = self.text.encode([prompt]).expand(len(cameras), -1, -1)
        shape = (len(cameras), denoiser.latent_channels, *denoiser.latent_size)
        latents = torch.randn(shape, generator=generator) * self.scheduler.init_noise_sigma
        self.scheduler.set_timesteps(steps)
        for now in self.scheduler.timesteps:
            output = denoiser.predict(latents, now.expand(len(cameras)), text, camera_labels(denoiser.unet, cameras))
            latents = self.scheduler.step(output, now, latents).prev_sample
        return denoiser.decode(latents)
