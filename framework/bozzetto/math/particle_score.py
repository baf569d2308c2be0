"""Variational score distillation: an adapter of the network learns the noise of the rendered views themselves.

ProlificDreamer (Wang et al. 2023) replaces the noise in the gradient of score distillation by the prediction of a
network that is trained on renderings, in turn with the scene.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.levels import Level, Output, epsilon_at, target_at
from bozzetto.math.score import sds_gradient

__all__ = ["adapter_loss", "particle_gradient"]


def adapter_loss(
    output: Output,
    value: Float[Tensor, "B C H W"],
    x0: Float[Tensor, "B C H W"],
    epsilon: Float[Tensor, "B C H W"],
    level: Level,
) -> Float[Tensor, ""]:
    """Compute the loss of the adapter: the mean square of `value`, its prediction, less its target.

    The target is `epsilon`, `a epsilon - s x0` or `epsilon - x0` for a network of noise, v or flow. Latents are
    constants here: no gradient reaches the scene.
    """
    target = target_at(output, x0, epsilon, level).detach()
    return torch.nn.functional.mse_loss(value, target)


def particle_gradient(
    guided: Float[Tensor, "B C H W"],
    output: Output,
    value: Float[Tensor, "B C H W"],
    noisy: Float[Tensor, "B C H W"],
    level: Level,
    weight: Float[Tensor, "B"],
) -> Float[Tensor, "B C H W"]:
    """Compute `w(t) (eps_hat - eps_phi)`, without the renderer's Jacobian (Wang et al. 2023, ProlificDreamer).

    Args:
        guided: predicted noise of the frozen network, guided.
        output: what the adapter predicts.
        value: the adapter's prediction at the same noisy latents; it gets no gradient from here.
    """
    reference = epsilon_at(output, value, noisy, level).detach()
    return sds_gradient(guided, reference, weight)
