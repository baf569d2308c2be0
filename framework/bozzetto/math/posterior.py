"""Posterior means of clean pictures that are known up to a Gaussian.

Letters as in `bozzetto.math.score`: x_t = sqrt(abar) x0 + sqrt(1 - abar) eps.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.score import signal_and_noise


def gaussian_posterior_mean(
    noisy: Float[Tensor, "B C H W"],
    mean: Float[Tensor, "B C H W"],
    deviation: Float[Tensor, "B"],
    alpha_bar: Float[Tensor, "B"],
) -> Float[Tensor, "B C H W"]:
    """E[x0 | x_t] where x0 is Gaussian about `mean`, of the same `deviation` s everywhere.

    `mean + sqrt(abar) s^2 / (abar s^2 + 1 - abar) (x_t - sqrt(abar) mean)` (Bishop 2006, Pattern Recognition and
    Machine Learning, eq. 2.116). The mean itself where all is noise; defined at every abar in [0, 1) if s > 0.
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
) -> Float[Tensor, "B 3"]:
    """E[c | x_t] of the one colour c that the pixels with weight `empty`, in [0, 1], share.

    c is Gaussian about `mean` with `deviation` s before anything is seen; with n the sum of weights and z the weighted
    sum of noisy pixels: `(mean / s^2 + sqrt(abar) z / sigma^2) / (1 / s^2 + n abar / sigma^2)`
    (Bishop 2006, eq. 2.141).
    """
    signal, noise = (one.flatten(1) for one in signal_and_noise(alpha_bar))
    count, total = empty.sum(dim=(2, 3)), (empty * noisy).sum(dim=(2, 3))
    precision = noise.square() / deviation**2
    return (precision * mean + signal * total) / (precision + count * signal.square())


def clean_deviation(alpha_bar: Float[Tensor, "B"], deviation: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """The standard deviation of x0 given x_t: `s sigma / sqrt(abar s^2 + sigma^2)` (Bishop 2006, eq. 2.117).

    The scale of what a network can add to `gaussian_posterior_mean` (Karras et al. 2022, Elucidating the Design Space,
    table 1: `c_out`).
    """
    variance = deviation.square()
    noise = 1.0 - alpha_bar
    return torch.sqrt(variance * noise / (alpha_bar * variance + noise))
