"""Timesteps of the views of a step."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kinds.score import Prior
from bozzetto.math.timestep_schedules import density_timesteps, plateau_density, point_timesteps, shared_timesteps
from bozzetto.math.timesteps import step_range
from bozzetto_plugins.score.axes import TimestepsConfig


def timesteps(
    config: TimestepsConfig, latents: Float[Tensor, "B C h w"], prior: Prior, step: int, generator: torch.Generator
) -> Int[Tensor, "B"]:
    """Return the timestep of each view; a window draws integers, the other types nothing."""
    count, device, train_steps = len(latents), latents.device, prior.train_steps
    if config.type == "point":
        return point_timesteps(count, config.at, step, train_steps, device)
    if config.type == "dreamtime":
        (lower, upper), (below, above) = config.plateau, config.tails
        parts = (upper * train_steps, lower * train_steps, above * train_steps, below * train_steps)
        density = plateau_density(train_steps, *parts, device)
        return density_timesteps(count, density, step, config.until_step)
    low, high = step_range(config.min.at(step), config.max.at(step), train_steps)
    alike = {False: 1, True: None, "group": prior.views_per_group}[config.shared]
    return shared_timesteps(count, low, high, alike, generator).to(device)
