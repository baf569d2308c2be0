"""Timesteps shared by views, and timesteps that follow the optimiser step instead of chance.

`timesteps` samples a window; here are one draw per group of views, and points of a schedule. All return one integer
per view. Points draw no random number.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.schedules import Schedule
from bozzetto.math.timesteps import sample_timesteps
from bozzetto.math.view_draws import ShareGenerator

__all__ = ["density_timesteps", "plateau_density", "point_timesteps", "shared_timesteps", "snr_density"]


def shared_timesteps(
    count: int, low: int, high: int, views: int | None, generator: torch.Generator
) -> Int[Tensor, "count"]:
    """Sample one timestep per group of `views` consecutive views, uniform integers from `low` to `high`, both included.

    `views` = 1 is `sample_timesteps`; None is one timestep for the whole batch, also if processes share its views out.
    One number per group is drawn.

    Raises:
        ValueError: `count` is not a whole number of groups.
    """
    if views is None:
        whole = generator.whole if isinstance(generator, ShareGenerator) else generator
        return sample_timesteps(1, low, high, whole).repeat(count)
    if views < 1 or count % views:
        raise ValueError(f"{count} views are not a whole number of groups of {views}")
    return sample_timesteps(count // views, low, high, generator).repeat_interleave(views)


def point_timesteps(
    count: int, fraction: Schedule, step: int, train_steps: int, device: torch.device
) -> Int[Tensor, "count"]:
    """Return the timestep of an optimiser step: `train_steps` times the schedule's fraction in [0, 1], rounded.

    A linear schedule anneals as score distillation via inversion (Lukoianov et al. 2024, sec. 5); `curve: sqrt` is the
    annealing of HiFA (Zhu et al. 2023), `max - (max - min) sqrt(step / steps)`.

    Raises:
        ValueError: the fraction is outside [0, 1].
    """
    value = fraction.at(step)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"a timestep's fraction must be in [0, 1], got {value:g} at step {step}")
    return torch.full((count,), min(round(value * train_steps), train_steps - 1), device=device)


def plateau_density(
    train_steps: int,
    upper: float = 800.0,
    lower: float = 500.0,
    upper_width: float = 300.0,
    lower_width: float = 100.0,
    device: torch.device | None = None,
) -> Float[Tensor, "T"]:
    """Return W(t): 1 from `lower` to `upper`, Gaussian tails beyond (Huang et al. 2023, DreamTime, first version).

    All arguments are timesteps; the defaults are for 1000 `train_steps`.
    """
    timestep = torch.arange(train_steps, dtype=torch.float64, device=device)
    above = ((timestep - upper).clamp_min(0.0) / upper_width).square()
    below = ((lower - timestep).clamp_min(0.0) / lower_width).square()
    return torch.exp(-0.5 * (above + below))


def snr_density(alpha_bar: Float[Tensor, "T"], mean: float = 500.0, width: float = 125.0) -> Float[Tensor, "T"]:
    """Return W(t) = sqrt((1 - abar) / abar) exp(-(t - mean)^2 / (2 width^2)) (Huang et al. 2024, DreamTime).

    Args:
        alpha_bar: of every training timestep, above 0.
        mean: timestep of the Gaussian's centre.
        width: its deviation, timesteps.
    """
    abar = alpha_bar.double()
    timestep = torch.arange(len(abar), dtype=torch.float64, device=abar.device)
    return ((1.0 - abar) / abar).sqrt() * torch.exp(-0.5 * ((timestep - mean) / width).square())


def density_timesteps(count: int, density: Float[Tensor, "T"], step: int, steps: int) -> Int[Tensor, "count"]:
    """Return t(step) of time-prioritised score distillation (Huang et al. 2023, DreamTime), on the density's device.

    `argmin_t |sum_{t' >= t} W(t') / sum W - step / steps|`: over `steps` optimiser steps, timesteps occur as often as
    their density W, and never increase. Beyond the last step: the last timestep.

    Raises:
        ValueError: `step` is negative or `steps` is below 1.
    """
    if step < 0 or steps < 1:
        raise ValueError(f"expected step >= 0 of at least 1, got step {step} of {steps}")
    above = density.double().flip(0).cumsum(0).flip(0)
    nearest = (above / above[0] - min(step / steps, 1.0)).abs().argmin()
    return nearest.expand(count).clone()
