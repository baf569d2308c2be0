"""Noise schedules of diffusion models: the variance that each step adds, and the signal that is left."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "alpha_bars",
    "exponential_shift",
    "linear_betas",
    "scaled_linear_betas",
    "shifted_sigmas",
    "zero_terminal_snr",
]


def linear_betas(first: float, last: float, count: int, device: torch.device | None = None) -> Float[Tensor, "T"]:
    """Return variances that grow linearly (DDPM, Ho et al. 2020, sec. 4)."""
    return torch.linspace(first, last, count, dtype=torch.float32, device=device)


def scaled_linear_betas(
    first: float, last: float, count: int, device: torch.device | None = None
) -> Float[Tensor, "T"]:
    """Return variances whose square roots grow linearly, as in latent diffusion models (Rombach et al. 2022)."""
    roots: Tensor = linear_betas(first**0.5, last**0.5, count, device)
    return roots**2


def alpha_bars(betas: Float[Tensor, "T"]) -> Float[Tensor, "T"]:
    """Return the products of 1 - beta up to each step (DDPM, eq. 4)."""
    return torch.cumprod(1.0 - betas, dim=0)


def zero_terminal_snr(betas: Float[Tensor, "T"]) -> Float[Tensor, "T"]:
    """Rescale variances so that no signal is left after the last step (Lin et al. 2023, alg. 1).

    The roots of alpha_bar are shifted until the last is zero, and scaled until the first is what it was.
    """
    roots = alpha_bars(betas).sqrt()
    first, last = roots[0], roots[-1]
    bars = ((roots - last) * (first / (first - last))) ** 2
    return 1 - torch.cat([bars[:1], bars[1:] / bars[:-1]])


def shifted_sigmas(shift: float, count: int) -> Float[Tensor, "T"]:
    """Return the noise levels of a rectified flow in ascending order, `k u / (1 + (k - 1) u)` for u = 1/T, 2/T ... 1.

    A shift k > 1 puts more of them at much noise (Esser et al. 2024, Scaling Rectified Flow Transformers, eq. 23).
    """
    times = torch.arange(1, count + 1, dtype=torch.float64) / count
    return (shift * times / (1.0 + (shift - 1.0) * times)).float()


def exponential_shift(tokens: float, few: tuple[float, float], many: tuple[float, float]) -> float:
    """Return the shift `exp(mu)` for images of some tokens, with mu on the line through two points (tokens, mu).

    `exp(mu) / (exp(mu) + 1/u - 1)`, the form that FLUX's samplers write, is `shifted_sigmas` with this shift.
    """
    slope = (many[1] - few[1]) / (many[0] - few[0])
    return math.exp(few[1] + slope * (tokens - few[0]))
