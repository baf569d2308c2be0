"""Noise sources: noisy latents, and the noise that a score compares its prediction with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kinds.score import Branch, Prior
from bozzetto.math.guidance import cfg
from bozzetto.math.inversion import interval_timesteps, inversion_timesteps, invert, last_gap, noise_between
from bozzetto.math.levels import Level, add_noise_at
from bozzetto.scoring import normal_noise
from bozzetto_plugins.score.axes import NoiseConfig

Latents = Float[Tensor, "B C h w"]


@dataclass(frozen=True)
class Noised:
    """Noisy latents, their timestep, and the reference."""

    noisy: Latents
    timestep: Int[Tensor, "B"]
    level: Level
    reference: Latents
    """The noise that leads from the clean to the noisy latents, or the prediction one interval before."""


def add_random(prior: Prior, latents: Latents, timestep: Int[Tensor, "B"], generator: torch.Generator) -> Noised:
    """Add unit noise: one draw of the latents' shape."""
    return add_given(prior, latents, timestep, normal_noise(latents, generator))


def add_given(prior: Prior, latents: Latents, timestep: Int[Tensor, "B"], epsilon: Latents) -> Noised:
    """Add this noise."""
    level = prior.level(timestep)
    return Noised(add_noise_at(latents, epsilon, level), timestep, level, epsilon)


def add_own_prediction(
    prior: Prior, latents: Latents, timestep: Int[Tensor, "B"], generator: torch.Generator
) -> Noised:
    """Add the noise that the model predicts of the latents with random noise, given the prompt alone.

    RFDS-Rev (Yang et al. 2024, arXiv:2406.03293, algorithm 2): its corrected noise `N + s (v_hat - v)` of a flow is
    the predicted noise. One draw of the latents' shape.
    """
    first = add_random(prior, latents, timestep, generator)
    epsilon = prior.epsilon(prior.predict(first.noisy, timestep, ["cond"])["cond"], first.noisy, timestep)
    return add_given(prior, latents, timestep, epsilon)


def add_inverted(
    config: NoiseConfig, prior: Prior, latents: Latents, timestep: Int[Tensor, "B"], generator: torch.Generator
) -> Noised:
    """Invert the clean latents; the reference is the noise that it amounts to (SDI, Lukoianov et al. 2024).

    Draws one integer per view if the inversion overshoots, then one noise per step if eta is not 0.
    """
    spacing = spacing_of(config, prior)
    gap = torch.zeros_like(timestep)
    if config.overshoot:
        gap = last_gap(len(timestep), spacing, generator).to(timestep)
    found, last = inversion_timesteps(timestep, gap, spacing, prior.train_steps), _last_with_signal(prior, timestep)
    times = [torch.minimum(time.clamp_min(0), last) for time in found]
    times = times[1:] if len(times) > 2 else times  # the level of clean latents is that of timestep 0
    noisy, _ = _inverted(config, prior, latents, times, generator)
    level = prior.level(times[-1])
    return Noised(noisy, times[-1], level, noise_between(latents, noisy, level))


def add_inverted_interval(
    config: NoiseConfig,
    prior: Prior,
    latents: Latents,
    timestep: Int[Tensor, "B"],
    gap: float,
    generator: torch.Generator,
) -> Noised:
    """Invert to `gap` before the timestep, then to it; the reference is the prediction before that last step.

    Interval score matching (Liang et al. 2023, LucidDreamer). Draws the noise that is added at timestep 0, then one per
    step if eta is not 0.

    Args:
        gap: fraction of the training timesteps.
    """
    start = (timestep - round(gap * prior.train_steps)).clamp_min(0)
    times = interval_timesteps(start, timestep, spacing_of(config, prior))
    first = add_noise_at(latents, normal_noise(latents, generator), prior.level(times[0]))
    noisy, reference = _inverted(config, prior, first, times, generator)
    return Noised(noisy, timestep, prior.level(timestep), reference)


def _last_with_signal(prior: Prior, timestep: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
    """Return the noisiest timestep from which clean latents can be told: the last but one of a zero-SNR schedule."""
    last = torch.full_like(timestep, prior.train_steps - 1)
    return last - (prior.level(last).signal == 0.0).to(last)


def spacing_of(config: NoiseConfig, prior: Prior) -> int:
    """Return the distance of the inversion's timesteps."""
    return max(round(config.spacing * prior.train_steps), 1)


def _inverted(
    config: NoiseConfig, prior: Prior, latents: Latents, times: list[Tensor], generator: torch.Generator
) -> tuple[Latents, Latents]:
    """Return the latents at the last of `times`, and the noise predicted on the way there."""

    def predict(noisy: Tensor, index: int) -> Tensor:
        wanted: list[Branch] = [config.base]
        if config.scale == 1.0:
            wanted = ["cond"]
        elif config.scale != 0.0:
            wanted = ["cond", config.base]
        outputs = prior.predict(noisy, times[index], wanted)
        found = outputs[wanted[0]] if len(wanted) == 1 else cfg(outputs["cond"], outputs[config.base], config.scale)
        return prior.epsilon(found, noisy, times[index])

    inverted = invert(latents, [prior.level(time) for time in times], predict, config.eta, generator)
    return inverted.noisy, inverted.epsilon
