"""DDIM inversion: noisy latents whose denoising leads back to given latents, in place of random noise.

Interval score matching inverts without the prompt (Liang et al. 2023, LucidDreamer), score distillation via inversion
with it (Lukoianov et al. 2024, sec. 5). Random numbers are drawn in the order: gap of the last step, noise of each
step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.ddim import Predict, ddim_step, ddim_variance, fresh_noise
from bozzetto.math.levels import Level, per_view, same_level
from bozzetto.math.view_draws import draw_rows

__all__ = ["Inverted", "interval_timesteps", "inversion_timesteps", "invert", "last_gap", "noise_between"]


@dataclass(frozen=True)
class Inverted:
    """Latents at the last level of an inversion, and the noise predicted on the way."""

    noisy: Float[Tensor, "B C H W"]
    """Latents at the last level."""
    epsilon: Float[Tensor, "B C H W"]
    """Noise predicted at each row's last level but one: that of the step which led to `noisy`."""


def invert(
    latents: Float[Tensor, "B C H W"],
    levels: Sequence[Level],
    predict: Predict,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Inverted:
    """Integrate the ODE of DDIM from clean to noisy: a DDIM step toward each further level (Song et al. 2020, eq. 12).

    It keeps the noise predicted at the cleaner end of a step, so it is exact only as steps become small. With `eta`,
    `eta sqrt(var)` times fresh noise is added after each step, with the variance of the step back; nothing is removed
    for it, as in the published implementation of score distillation via inversion.

    Args:
        latents: at `levels[0]`. Clean latents are taken as they are; interval score matching adds noise first.
        levels: from cleaner to noisier, two at least; a row repeats its level to wait for others.
        generator: draws one unit noise of the latents' shape per step, in order, if `eta` is positive; else not used.

    Raises:
        ValueError: fewer than two levels, or `eta` is positive without a generator.
    """
    if len(levels) < 2:
        raise ValueError(f"inversion needs two levels at least, got {len(levels)}")
    noisy, kept = latents, torch.zeros_like(latents)
    for index, (level, after) in enumerate(pairwise(levels)):
        fresh = fresh_noise(noisy, eta, generator)
        epsilon = predict(noisy, index)
        stepped = ddim_step(noisy, epsilon, level, after)
        stays = per_view(same_level(level, after))
        if fresh is not None:
            extra = per_view(eta * ddim_variance(after, level).sqrt()) * fresh
            stepped = torch.where(stays, stepped, stepped + extra)
        noisy, kept = stepped, torch.where(stays, kept, epsilon)
    return Inverted(noisy, kept)


def noise_between(
    latents: Float[Tensor, "B C H W"], noisy: Float[Tensor, "B C H W"], level: Level
) -> Float[Tensor, "B C H W"]:
    """Return `(x_t - a x0) / s`, the noise that leads from `latents` to `noisy`: kappa of Lukoianov et al. 2024, eq. 8.

    In place of random noise it is the reference of score distillation. For s > 0.
    """
    return (noisy - per_view(level.signal) * latents) / per_view(level.noise)


def interval_timesteps(start: Int[Tensor, "B"], end: Int[Tensor, "B"], spacing: int) -> list[Int[Tensor, "B"]]:
    """Return the timesteps of interval score matching: 0, spacing, 2 spacing, ... up to `start`, then `end`.

    Rows with a smaller start repeat it. Noise is added at timestep 0; the noise predicted at `start` is the reference.

    Raises:
        ValueError: `spacing` is below 1.
    """
    _require_spacing(spacing)
    count = -(-int(start.max()) // spacing)
    return [*(start.clamp_max(index * spacing) for index in range(count + 1)), end]


def last_gap(count: int, spacing: int, generator: torch.Generator) -> Int[Tensor, "count"]:
    """Draw the gap of the last step of `inversion_timesteps`: uniform integers of [0, spacing)."""
    _require_spacing(spacing)
    return draw_rows(lambda n, g: torch.randint(0, spacing, (n,), generator=g, device=g.device), count, generator)


def inversion_timesteps(
    timestep: Int[Tensor, "B"], gap: Int[Tensor, "B"], spacing: int, train_steps: int
) -> list[Int[Tensor, "B"]]:
    """Return the timesteps of score distillation via inversion, "leading" spacing: -spacing, 0, spacing, ..., t + gap.

    Multiples of `spacing` below `timestep`, then `timestep + gap`, `train_steps - 1` at most. A negative timestep
    stands for the clean latents: its level is that of timestep 0, or abar 1. Rows with fewer steps repeat their last.
    The latents are then at `t + gap`, and a prediction must use that level.

    Raises:
        ValueError: `spacing` is below 1.
    """
    _require_spacing(spacing)
    last = (timestep + gap).clamp_max(train_steps - 1)
    multiples = (index * spacing for index in range(-(-int(timestep.max()) // spacing)))
    inner = [torch.where(timestep > value, torch.full_like(timestep, value), last) for value in multiples]
    return [torch.full_like(timestep, -spacing), *inner, last]


def _require_spacing(spacing: int) -> None:
    """Check a distance of timesteps."""
    if spacing < 1:
        raise ValueError(f"spacing counts timesteps and must be at least 1, got {spacing}")
