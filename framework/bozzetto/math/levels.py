"""Noise levels of diffusion and flow models, and conversions between network outputs at a level.

At a level with signal a and noise s, noisy latents are `x_t = a x0 + s eps` with unit Gaussian eps. A
variance-preserving model has `a = sqrt(abar), s = sqrt(1 - abar)` (Ho et al. 2020, eq. 4), a rectified flow `a = 1 - q,
s = q` (Liu et al. 2022). Shapes are "B C H W" with one level per row, so that rows never affect one another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from bozzetto.math.score import epsilon_from_v, v_from_epsilon, x0_from_v

__all__ = [
    "Level",
    "Output",
    "add_noise_at",
    "epsilon_at",
    "per_view",
    "rectified_flow",
    "same_level",
    "target_at",
    "variance_preserving",
    "x0_at",
]

Output = Literal["epsilon", "v", "x0", "flow"]
"""What a network predicts: the noise, the velocity of a variance-preserving model, the clean latents, or the velocity
`eps - x0` of a flow."""


@dataclass(frozen=True)
class Level:
    """Signal and noise of each row; made by `variance_preserving` or `rectified_flow`."""

    signal: Float[Tensor, "B"]
    """Factor a of the clean latents, in [0, 1]."""
    noise: Float[Tensor, "B"]
    """Factor s of the noise, in [0, 1]."""
    preserved_alpha_bar: Float[Tensor, "B"] | None = field(default=None, repr=False)
    """The abar from which a variance-preserving level was made: squaring its root would round it. None: of a flow."""

    @property
    def alpha_bar(self) -> Float[Tensor, "B"]:
        """Return `a^2 / (a^2 + s^2)`: abar of the variance-preserving level with the same ratio of signal to noise.

        `x_t / sqrt(a^2 + s^2)` are latents at that level, so weights that are given as functions of abar take it.
        """
        if self.preserved_alpha_bar is not None:
            return self.preserved_alpha_bar
        square = self.signal.square()
        return square / (square + self.noise.square())

    @property
    def sigma(self) -> Float[Tensor, "B"]:
        """Return `s / a`, the deviation of the noise in `x_t / a`; infinite where there is no signal."""
        return self.noise / self.signal


def variance_preserving(alpha_bar: Float[Tensor, "B"]) -> Level:
    """Return the level `a = sqrt(abar), s = sqrt(1 - abar)`, for abar in [0, 1] (Ho et al. 2020, eq. 4)."""
    return Level(alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt(), alpha_bar)


def rectified_flow(sigma: Float[Tensor, "B"]) -> Level:
    """Return the level `a = 1 - sigma, s = sigma`, for sigma in [0, 1]: 0 is clean, 1 is noise (Liu et al. 2022)."""
    return Level(1.0 - sigma, sigma)


def per_view(values: Shaped[Tensor, "B"]) -> Shaped[Tensor, "B 1 1 1"]:
    """Return one number or truth value per view, broadcastable to images."""
    return values[:, None, None, None]


def same_level(one: Level, other: Level) -> Bool[Tensor, "B"]:
    """Return where the rows of two levels have equal signal and equal noise."""
    return torch.logical_and(one.signal == other.signal, one.noise == other.noise)


def add_noise_at(
    x0: Float[Tensor, "B C H W"], epsilon: Float[Tensor, "B C H W"], level: Level
) -> Float[Tensor, "B C H W"]:
    """Compute the noisy latents `a x0 + s eps`; of a variance-preserving level, bit for bit `score.add_noise`."""
    return per_view(level.signal) * x0 + per_view(level.noise) * epsilon


def target_at(
    output: Output, x0: Float[Tensor, "B C H W"], epsilon: Float[Tensor, "B C H W"], level: Level
) -> Float[Tensor, "B C H W"]:
    """Return what a network with this `output` should predict for `add_noise_at(x0, epsilon, level)`.

    Raises:
        ValueError: `v` at a level that is not variance preserving.
    """
    if output == "epsilon":
        return epsilon
    if output == "x0":
        return x0
    if output == "flow":
        return epsilon - x0
    return v_from_epsilon(x0, epsilon, _preserved(level))


def epsilon_at(
    output: Output, value: Float[Tensor, "B C H W"], noisy: Float[Tensor, "B C H W"], level: Level
) -> Float[Tensor, "B C H W"]:
    """Convert a network's output at noisy latents to noise.

    With u the velocity of a flow, `eps = (x_t + a u) / (a + s)`; from clean latents, `eps = (x_t - a x0) / s`, for s >
    0. Both solve `x_t = a x0 + s eps`. Affine in `value`: guidance before or after the conversion is the same.

    Raises:
        ValueError: `v` at a level that is not variance preserving.
    """
    if output == "epsilon":
        return value
    if output == "x0":
        return (noisy - per_view(level.signal) * value) / per_view(level.noise)
    if output == "flow":
        return (noisy + per_view(level.signal) * value) / per_view(level.signal + level.noise)
    return epsilon_from_v(value, noisy, _preserved(level))


def x0_at(
    output: Output, value: Float[Tensor, "B C H W"], noisy: Float[Tensor, "B C H W"], level: Level
) -> Float[Tensor, "B C H W"]:
    """Convert a network's output at noisy latents to clean latents.

    With u the velocity of a flow, `x0 = (x_t - s u) / (a + s)`; from noise, `x0 = (x_t - s eps) / a`, for a > 0. Both
    solve `x_t = a x0 + s eps`.

    Raises:
        ValueError: `v` at a level that is not variance preserving.
    """
    if output == "x0":
        return value
    if output == "epsilon":
        return (noisy - per_view(level.noise) * value) / per_view(level.signal)
    if output == "flow":
        return (noisy - per_view(level.noise) * value) / per_view(level.signal + level.noise)
    return x0_from_v(value, noisy, _preserved(level))


def _preserved(level: Level) -> Float[Tensor, "B"]:
    """Return abar of a variance-preserving level."""
    if level.preserved_alpha_bar is None:
        raise ValueError(
            "output 'v' is defined at variance-preserving levels only (Salimans & Ho 2022, appendix D); "
            "the velocity eps - x0 of a flow is output 'flow'"
        )
    return level.preserved_alpha_bar
