"""Sampling and weighting of diffusion timesteps."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.levels import Level
from bozzetto.math.view_draws import draw_rows

__all__ = ["LevelWeighting", "Weighting", "level_weight", "sample_timesteps", "step_range", "timestep_weight"]

Weighting = Literal["one-minus-alpha-bar", "uniform", "fantasia3d"]
LevelWeighting = Literal["one-minus-alpha-bar", "uniform", "fantasia3d", "sigma-over-alpha", "velocity"]


def timestep_weight(weighting: Weighting, alpha_bar: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """Compute w(t) from abar(t).

    `one-minus-alpha-bar`: sigma_t^2, DreamFusion (Poole et al. 2022, eq. 3). `uniform`: 1, Magic3D's coarse stage.
    `fantasia3d`: sqrt(abar) (1 - abar), Fantasia3D (Chen et al. 2023), which down-weights the noisiest steps.
    """
    if weighting == "uniform":
        return torch.ones_like(alpha_bar)
    if weighting == "fantasia3d":
        return alpha_bar.sqrt() * (1.0 - alpha_bar)
    return 1.0 - alpha_bar


def level_weight(weighting: LevelWeighting, level: Level) -> Float[Tensor, "B"]:
    """Compute w(t) from a level: `timestep_weight` of its abar, s / a, or (a + s) / a.

    `sigma-over-alpha` (Lukoianov et al. 2024, eq. 4) makes score distillation the gradient of half the squared distance
    to the clean latents of the prediction, `x0 - x0_hat = (s / a) (eps_hat - eps)`. It is infinite where there is no
    signal; 0.14 at timestep 20 of Stable Diffusion, 13 at 980.
    `velocity` (RFDS, Yang et al. 2024, eq. 6) makes it the difference of a flow's velocities with weight 1, since
    `u_hat - u = (a + s) / a (eps_hat - eps)`. It is infinite where there is no signal, too.
    """
    if weighting == "velocity":
        return (level.signal + level.noise) / level.signal
    if weighting == "sigma-over-alpha":
        return level.sigma
    return timestep_weight(weighting, level.alpha_bar)


def step_range(min_fraction: float, max_fraction: float, train_steps: int) -> tuple[int, int]:
    """Return the first and last timestep, both included, from fractions in [0, 1] of a model's `train_steps`.

    Raises:
        ValueError: not 0 <= min_fraction <= max_fraction <= 1.
    """
    if not 0.0 <= min_fraction <= max_fraction <= 1.0:
        raise ValueError(f"fractions must satisfy 0 <= min <= max <= 1, got {min_fraction} and {max_fraction}")
    last = train_steps - 1
    return min(round(min_fraction * train_steps), last), min(round(max_fraction * train_steps), last)


def sample_timesteps(count: int, low: int, high: int, generator: torch.Generator) -> Int[Tensor, "count"]:
    """Sample a uniform integer from `low` to `high`, both included, per view, on the generator's device."""
    return draw_rows(lambda n, g: torch.randint(low, high + 1, (n,), generator=g, device=g.device), count, generator)
