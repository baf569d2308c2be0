"""Noise schedules of diffusion models: the variance that each step adds, and the signal that is left."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["alpha_bars", "linear_betas", "scaled_linear_betas", "zero_terminal_snr"]


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
