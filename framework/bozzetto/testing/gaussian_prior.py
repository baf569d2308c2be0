"""An exact network: the denoiser of Gaussian data, with closed forms to check scores, inversions and samplers against.

Data is N(m, sd^2) in every value, with one mean m per condition. At a level with signal a and noise s, noisy latents
are N(a m, D) with `D = a^2 sd^2 + s^2`, and the best prediction of the noise is `s (x_t - a m) / D`. Classifier-free
guidance of two conditions is then exactly a third condition, with the mean `m_u + g (m_c - m_u)`; the paths of DDIM,
with infinitely small steps, keep `(x_t - a m) / sqrt(D)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from bozzetto.math.levels import Level, Output, per_view, target_at, x0_at

__all__ = ["GaussianPrior"]


@dataclass(frozen=True)
class GaussianPrior:
    """Gaussian data and its exact network; use double precision for closed forms.

    For example, the mean gradient of score distillation at latents x is `w s a (x - guided_mean) / variance`.
    """

    means: Mapping[str, float]
    """Mean of the data of each condition."""
    deviation: float
    """Standard deviation sd of the data of every condition, above 0."""

    def variance(self, level: Level) -> Float[Tensor, "B 1 1 1"]:
        """Return D, the variance of noisy latents at a level."""
        return per_view(level.signal.square() * self.deviation**2 + level.noise.square())

    def epsilon(self, noisy: Float[Tensor, "B C H W"], level: Level, condition: str) -> Float[Tensor, "B C H W"]:
        """Predict the noise in noisy latents.

        Raises:
            KeyError: `condition` has no mean.
        """
        return self.epsilon_of_mean(noisy, level, self.means[condition])

    def epsilon_of_mean(self, noisy: Float[Tensor, "B C H W"], level: Level, mean: float) -> Float[Tensor, "B C H W"]:
        """Predict the noise in noisy latents of data with any mean."""
        return per_view(level.noise) * (noisy - per_view(level.signal) * mean) / self.variance(level)

    def predict(
        self, output: Output, noisy: Float[Tensor, "B C H W"], level: Level, condition: str
    ) -> Float[Tensor, "B C H W"]:
        """Predict noise, v, clean latents or the velocity of a flow, as a network with this output would.

        Raises:
            KeyError: `condition` has no mean.
            ValueError: `v` at a level that is not variance preserving.
        """
        epsilon = self.epsilon(noisy, level, condition)
        return target_at(output, x0_at("epsilon", epsilon, noisy, level), epsilon, level)

    def guided_mean(self, scale: float, cond: str, uncond: str) -> float:
        """Return `m_u + scale (m_c - m_u)`, the mean whose network equals guidance with this scale."""
        return self.means[uncond] + scale * (self.means[cond] - self.means[uncond])

    def carry(
        self, latents: Float[Tensor, "B C H W"], level: Level, after: Level, mean: float
    ) -> Float[Tensor, "B C H W"]:
        """Move latents along the path of DDIM from one level to another, exactly, for data with this mean.

        `a' mean + sqrt(D' / D) (x - a mean)`, with primes at `after`: what inversion and denoising approach as their
        steps become small. Clean latents are at signal 1 and noise 0.
        """
        stretch = (self.variance(after) / self.variance(level)).sqrt()
        return per_view(after.signal) * mean + stretch * (latents - per_view(level.signal) * mean)
