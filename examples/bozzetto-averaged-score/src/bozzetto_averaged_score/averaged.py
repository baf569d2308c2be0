"""Score distillation averaged over several noises per step: the same mean as SDS, less chance in each step."""

from __future__ import annotations

import torch
from bozzetto.kinds.score import Prior
from bozzetto.math.guidance import cfg
from bozzetto.math.levels import add_noise_at
from bozzetto.math.score import sds_gradient
from bozzetto.math.timesteps import level_weight, sample_timesteps, step_range
from bozzetto.scoring import guided, normal_noise
from bozzetto.types import Guided, Rendered

from bozzetto_averaged_score.config import AveragedConfig


class Averaged:
    """SDS (Poole et al. 2022, eq. 3) with the mean over `draws` noises at one timestep per view.

    Random numbers are drawn in the order: encoder sample, timesteps, then one noise per draw.
    """

    def __init__(self, config: AveragedConfig) -> None:
        self.config = config

    def __call__(self, prior: Prior, rendered: Rendered, step: int, generator: torch.Generator) -> Guided:
        """Return the loss `score`; its gradient in the latents is the mean over views and draws."""
        config = self.config
        latents = prior.latents(rendered, generator)
        low, high = step_range(config.min_step_fraction, config.max_step_fraction, prior.train_steps)
        timestep = sample_timesteps(len(latents), low, high, generator).to(latents.device)
        level = prior.level(timestep)
        weight = level_weight("one-minus-alpha-bar", level)
        total = torch.zeros_like(latents)
        for _ in range(config.draws):
            noise = normal_noise(latents, generator)
            noisy = add_noise_at(latents.detach(), noise, level)
            outputs = prior.predict(noisy, timestep, ["cond", "uncond"])
            output = cfg(outputs["cond"], outputs["uncond"], config.scale)
            total += sds_gradient(prior.epsilon(output, noisy, timestep).detach(), noise, weight)
        return guided(prior, rendered, latents, total / config.draws, timestep, step)
