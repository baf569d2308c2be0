"""Steps of DDIM between two levels in either direction, deterministic or not, and denoising in several steps.

A callable `Predict` stands for the network. Levels have one row per view; a view whose level does not change in a step
keeps its latents bit for bit, so that views with different numbers of steps fit in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.levels import Level, add_noise_at, per_view, same_level, x0_at
from bozzetto.math.view_draws import draw_rows

__all__ = ["Predict", "ddim_step", "ddim_variance", "denoise", "fresh_noise"]

Predict = Callable[[Tensor, int], Tensor]
"""Function from noisy latents "B C H W" and the index of their level in a list, to predicted noise "B C H W"."""


def ddim_variance(noisier: Level, cleaner: Level) -> Float[Tensor, "B"]:
    """Compute the variance that DDIM with eta = 1 adds in a step from the noisier to the cleaner level.

    `s'^2 (1 - (s' a / (a' s))^2)` with primes at the cleaner level; of variance-preserving levels `(1 - abar') / (1 -
    abar) (1 - abar / abar')` (Song et al. 2020, eq. 16, squared). For a noisier level with signal and noise above 0.
    """
    ratio = cleaner.noise * noisier.signal / (cleaner.signal * noisier.noise)
    return cleaner.noise.square() * (1.0 - ratio.square()).clamp_min(0.0)


def ddim_step(
    noisy: Float[Tensor, "B C H W"],
    epsilon: Float[Tensor, "B C H W"],
    level: Level,
    after: Level,
    eta: float = 0.0,
    fresh: Float[Tensor, "B C H W"] | None = None,
) -> Float[Tensor, "B C H W"]:
    """Take a DDIM step from `level` to `after` with the predicted noise (Song et al. 2020, eq. 12).

    `a' x0 + sqrt(s'^2 - eta^2 var) eps + eta sqrt(var) fresh`, with x0 of the prediction, primes at `after` and var of
    `ddim_variance`. eta 0 is deterministic and also steps to noisier levels; eta 1 is the posterior of DDPM.

    Args:
        fresh: unit noise; not needed if `eta` is 0.

    Raises:
        ValueError: `eta` is not in [0, 1], or is positive without `fresh`.
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must be in [0, 1], got {eta}")
    x0 = x0_at("epsilon", epsilon, noisy, level)
    if eta == 0.0:
        stepped = add_noise_at(x0, epsilon, after)
    elif fresh is None:
        raise ValueError(f"a step with eta {eta} needs fresh noise")
    else:
        added = eta**2 * ddim_variance(level, after)
        kept = (after.noise.square() - added).clamp_min(0.0).sqrt()
        stepped = per_view(after.signal) * x0 + per_view(kept) * epsilon + per_view(added.sqrt()) * fresh
    return torch.where(per_view(same_level(level, after)), noisy, stepped)


def denoise(
    noisy: Float[Tensor, "B C H W"],
    levels: Sequence[Level],
    predict: Predict,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B C H W"]:
    """Denoise from `levels[0]` to clean latents in `len(levels)` predictions: the target of a multi-step score.

    DDIM steps to each further level, then x0 of the last prediction. One level is the target of SDS; many are a
    solution of the probability-flow ODE, the target of PFD (Ramanan & Rajagopalan 2026, Probability-Flow Distillation).

    Args:
        levels: from noisier to cleaner, one at least; a row repeats its level to wait for others.
        generator: draws one unit noise of the latents' shape per step between levels, in order, if `eta` is positive;
            else not used.

    Raises:
        ValueError: no levels, or `eta` is positive without a generator.
    """
    if not levels:
        raise ValueError("denoising needs one level at least")
    for index, level in enumerate(levels[:-1]):
        fresh = fresh_noise(noisy, eta, generator)
        noisy = ddim_step(noisy, predict(noisy, index), level, levels[index + 1], eta, fresh)
    return x0_at("epsilon", predict(noisy, len(levels) - 1), noisy, levels[-1])


def fresh_noise(
    like: Float[Tensor, "B C H W"], eta: float, generator: torch.Generator | None
) -> Float[Tensor, "B C H W"] | None:
    """Draw unit noise on the generator's device; None, and nothing drawn, if `eta` is 0.

    Raises:
        ValueError: `eta` is not 0 and there is no generator.
    """
    if eta == 0.0:
        return None
    if generator is None:
        raise ValueError(f"eta {eta} needs a generator")
    shape, dtype = like.shape[1:], like.dtype
    drawn = draw_rows(
        lambda n, g: torch.randn(n, *shape, generator=g, device=g.device, dtype=dtype), len(like), generator
    )
    return drawn.to(like.device)
