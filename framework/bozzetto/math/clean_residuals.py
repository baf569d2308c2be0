"""Scores as differences of clean latents or images: SJC, and the image term of HiFA.

With the clean latents `x0_hat` of a prediction, `x0 - x0_hat = (s / a) (eps_hat - eps)`: every loss on clean latents is
score distillation with the weight s / a.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.math.levels import Level, per_view

__all__ = ["image_gradient", "latent_residual", "perturbed_score"]


def perturbed_score(
    x0_hat: Float[Tensor, "B C H W"], noisy: Float[Tensor, "B C H W"], level: Level
) -> Float[Tensor, "B C H W"]:
    """Compute `(D(y) - y) / sigma^2` at `y = x_t / a`, with `sigma = s / a` and D(y) = `x0_hat`.

    Its mean over the noise is the score of Wang et al. 2022, Score Jacobian Chaining (perturb-and-average scoring).
    Equals `-eps_hat / sigma`.
    """
    sigma = per_view(level.sigma)
    return (x0_hat - noisy / per_view(level.signal)) / sigma.square()


def latent_residual(
    x0: Float[Tensor, "B C H W"], x0_hat: Float[Tensor, "B C H W"], level: Level
) -> Float[Tensor, "B C H W"]:
    """Compute `(x0 - x0_hat) / sigma`, with `sigma = s / a`: the gradient of SJC (Wang et al. 2022).

    It is `-sigma` times `perturbed_score` less the noise, whose mean is zero: `eps_hat - eps`, hence score distillation
    with weight 1.
    """
    return (x0 - x0_hat) / per_view(level.sigma)


def image_gradient(
    image: Float[Tensor, "B C H W"],
    decoded: Float[Tensor, "B C H W"],
    level: Level,
    weight: Float[Tensor, "B"],
) -> Float[Tensor, "B C H W"]:
    """Compute `w(t) (a / s) (image - decoded)`: the image term of HiFA (Zhu et al. 2023), in the image's frame.

    `decoded` is the decoded `x0_hat`, a constant. As in latents, the weight s / a makes it the gradient of half the
    squared distance. Rendered and decoded images have one range and one size.
    """
    return per_view(weight / level.sigma) * (image - decoded.detach())
