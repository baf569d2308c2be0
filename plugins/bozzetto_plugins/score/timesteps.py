"""Timesteps of the views of a step."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kinds.score import Prior
from bozzetto.math.timestep_schedules import (
    density_timesteps,
    plateau_density,
    point_timesteps,
    shared_timesteps,
    snr_density,
)
from bozzetto.math.timesteps import step_range
from bozzetto_plugins.score.axes import TimestepsConfig


def timesteps(
    config: TimestepsConfig, latents: Float[Tensor, "B C h w"], prior: Prior, step: int, generator: torch.Generator
) -> Int[Tensor, "B"]:
    """Return the timestep of each view; a window draws integers, the other types nothing."""
    count, device = len(latents), latents.device
    if config.type == "point":
        return point_timesteps(count, config.at, step, prior.train_steps, device)
    if config.type == "dreamtime":
        return density_timesteps(count, _density(config, prior, device), step, config.until_step)
    low, high = step_range(config.min.at(step), config.max.at(step), prior.train_steps)
    alike = {False: 1, True: None, "group": prior.views_per_group}[config.shared]
    return shared_timesteps(count, low, high, alike, generator).to(device)


def _density(config: TimestepsConfig, prior: Prior, device: torch.device) -> Float[Tensor, "T"]:
    """Return how long DreamTime stays at each timestep, up to a factor."""
    steps = prior.train_steps
    if config.density == "noise-to-signal":
        alpha_bar = prior.level(torch.arange(steps, device=device)).alpha_bar
        return snr_density(alpha_bar, config.centre * steps, config.width * steps)
    (lower, upper), (below, above) = config.plateau, config.tails
    return plateau_density(steps, upper * steps, lower * steps, above * steps, below * steps, device)
