"""Posterior means of clean images with a Gaussian prior.

Notation as in `bozzetto.math.score`: x_t = sqrt(abar) x0 + sqrt(1 - abar) eps.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.score import signal_and_noise

__all__ = ["clean_deviation", "gaussian_posterior_mean", "plain_colour", "plain_deviation"]


def gaussian_posterior_mean(
    noisy: Float[Tensor, "B C H W"],
    mean: Float[Tensor, "B C H W"],
    deviation: Float[Tensor, "B"],
    alpha_bar: Float[Tensor, "B"],
) -> Float[Tensor, "B C H W"]:
    """Compute E[x0 | x_t] for a Gaussian x0 with the given `mean` and a uniform `deviation` s.

    `mean + sqrt(abar) s^2 / (abar s^2 + 1 - abar) (x_t - sqrt(abar) mean)` (Bishop 2006, Pattern Recognition and
    Machine Learning, eq. 2.116). Equals the mean at pure noise; defined at every abar in [0, 1) if s > 0.
    """
    signal, noise = signal_and_noise(alpha_bar)
    variance = deviation.square()[:, None, None, None]
    share = signal * variance / (signal.square() * variance + noise.square())
    return mean + share * (noisy - signal * mean)


def plain_colour(
    noisy: Float[Tensor, "B 3 H W"],
    empty: Float[Tensor, "B 1 H W"],
    alpha_bar: Float[Tensor, "B"],
    mean: float,
    deviation: float,
    usual: float = 0.0,
) -> Float[Tensor, "B 3"]:
    """Compute E[c | x_t] of a colour c shared by the pixels with weight `empty`, in [0, 1].

    The prior of c is exactly `mean` with probability `usual`, else Gaussian around it with `deviation` s. With n the
    sum of weights and z the weighted sum of noisy pixels, the Gaussian's posterior mean is `(mean / s^2 + sqrt(abar) z
    / sigma^2) / (1 / s^2 + n abar / sigma^2)` (Bishop 2006, eq. 2.141), and its evidence over that of the usual colour,
    with k = n abar s^2 / sigma^2 and r = z - sqrt(abar) n mean, the product of `exp(r^2 abar s^2 / (2 sigma^4 (1 + k)))
    / sqrt(1 + k)` over the channels.
    """
    signal, noise = (one.flatten(1) for one in signal_and_noise(alpha_bar))
    count, total = empty.sum(dim=(2, 3)), (empty * noisy).sum(dim=(2, 3))
    ratio = (signal * deviation / noise).square()
    sharper = 1.0 + count * ratio
    off = (total - signal * count * mean) / noise
    evidence = 0.5 * (off.square() * ratio / sharper - torch.log(sharper)).sum(dim=1, keepdim=True)
    other = torch.sigmoid(evidence + math.log1p(-usual) - math.log(usual)) if usual > 0.0 else 1.0
    return mean + other * signal * deviation**2 * off / (noise * sharper)


def plain_deviation(
    empty: Float[Tensor, "B 1 H W"], alpha_bar: Float[Tensor, "B"], deviation: float
) -> Float[Tensor, "B"]:
    """Compute the posterior standard deviation of the Gaussian component in `plain_colour`.

    `s sigma / sqrt(sigma^2 + n abar s^2)` (Bishop 2006, eq. 2.142).
    """
    signal, noise = (one.flatten() for one in signal_and_noise(alpha_bar))
    count = empty.sum(dim=(1, 2, 3))
    return deviation * noise / torch.sqrt(noise.square() + count * signal.square() * deviation**2)


def clean_deviation(alpha_bar: Float[Tensor, "B"], deviation: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """Compute the standard deviation of x0 given x_t: `s sigma / sqrt(abar s^2 + sigma^2)` (Bishop 2006, eq. 2.117).

    It scales the output that a network adds to `gaussian_posterior_mean` (Karras et al. 2022, Elucidating the Design
    Space, table 1: `c_out`).
    """
    variance = deviation.square()
    noise = 1.0 - alpha_bar
    return torch.sqrt(variance * noise / (alpha_bar * variance + noise))
