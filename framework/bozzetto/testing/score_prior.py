"""A prior of images without weights, for tests of scores: the exact network of Gaussian data, in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bozzetto.kinds.score import Branch
from bozzetto.math.levels import Level, Output, epsilon_at, per_view, target_at, variance_preserving, x0_at
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.gaussian_prior import GaussianPrior
from bozzetto.types import Cameras, Rendered, to_device

__all__ = ["MEANS", "GaussianParticles", "GaussianViews", "picture_of"]

MEANS: Mapping[str, float] = {"cond": 0.6, "uncond": 0.3, "empty": 0.4, "plain": 0.5, "image": 0.45}
"""Mean of the pixels of each branch."""
NEGATIVE_MEANS = (0.2, 0.7)
TRAIN_STEPS = 1000
AZIMUTH_DEG = 40.0


def picture_of(values: Float[Tensor, "B 3 H W"]) -> Rendered:
    """Return a rendering with these pixels, which require grad."""
    image = values.permute(0, 2, 3, 1).clone().requires_grad_()
    flat = torch.ones_like(image[..., :1]).detach()
    return Rendered(image, flat, flat)


@dataclass
class GaussianViews:
    """Implements `bozzetto.kinds.score.Prior`: latents are Gaussian pixels, predictions are exact."""

    means: Mapping[str, float] = field(default_factory=lambda: MEANS)
    deviation: float = 0.2
    output: Output = "epsilon"
    branches: frozenset[Branch] = frozenset({"cond", "uncond", "empty", "plain", "negatives", "image"})
    view_weight: Float[Tensor, "B"] | None = None
    views_per_group: int = 1
    around: Cameras | None = None
    """Cameras of the views; None: `AZIMUTH_DEG` apart from one another, the first in front."""
    predictions: int = 0
    """Branches predicted so far, of all views."""
    rests: int = 0
    """Calls of `rest`."""
    views: int = 0
    """Number of views, known once they are encoded."""

    name = "gaussian"
    cure = ""
    train_steps = TRAIN_STEPS

    def __post_init__(self) -> None:
        self.exact = GaussianPrior(self.means, self.deviation)
        self.weight = torch.ones((), requires_grad=True)
        """Factor of every output; no score may send a gradient here."""
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, TRAIN_STEPS, dtype=torch.float64).square()
        self.alpha_bars = (1.0 - betas).cumprod(dim=0)

    @property
    def cameras(self) -> Cameras:
        """Cameras of the latest rendering."""
        with self.weight.device:
            around = self.around or cameras_around([AZIMUTH_DEG * index for index in range(self.views)])
        return replace(to_device(around, self.weight.device), views_per_group=self.views_per_group)

    @property
    def negative_weights(self) -> Float[Tensor, "B K"] | None:
        """The same weights for every view of the latest rendering."""
        return torch.tensor([[-1.0, -0.5]], device=self.weight.device).expand(self.views, -1)

    def latents(self, rendered: Rendered, generator: torch.Generator) -> Float[Tensor, "B C h w"]:
        """Return the pixels."""
        self.views = len(rendered.image)
        return rendered.image.permute(0, 3, 1, 2)

    def image(self, rendered: Rendered) -> Float[Tensor, "B 3 H W"]:
        """Return the pixels."""
        return rendered.image.permute(0, 3, 1, 2)

    def level(self, timestep: Int[Tensor, "B"]) -> Level:
        """Return the level of Stable Diffusion's schedule."""
        return variance_preserving(self.alpha_bars.to(timestep.device)[timestep].float())

    def predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], branches: Sequence[Branch]
    ) -> Mapping[Branch, Tensor]:
        """Return the exact outputs, which depend on `weight`."""
        self.predictions += len(branches)
        return {branch: self.weight.to(noisy.device) * self._output(branch, noisy, timestep) for branch in branches}

    def _output(self, branch: Branch, noisy: Tensor, timestep: Tensor) -> Tensor:
        level = self.level(timestep)
        if branch != "negatives":
            return self.exact.predict(self.output, noisy, level, branch)
        negatives = [GaussianPrior({branch: mean}, self.deviation) for mean in NEGATIVE_MEANS]
        tilt = torch.linspace(-1.0, 1.0, noisy.shape[-1], device=noisy.device)  # constant ones are all parallel
        return torch.stack([one.predict(self.output, noisy, level, branch) + tilt for one in negatives], dim=1)

    def epsilon(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert an output to noise."""
        return epsilon_at(self.output, output, noisy, self.level(timestep))

    def x0(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert an output to pixels."""
        return x0_at(self.output, output, noisy, self.level(timestep))

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Return the pixels in [0, 1], without gradient."""
        return latents.detach().clamp(0.0, 1.0)

    def rest(self) -> None:
        """Count the call."""
        self.rests += 1

    def guided_mean(self, scale: float) -> float:
        """Return the mean whose exact prediction is guidance with this scale: the fixed point of SDS."""
        return self.exact.guided_mean(scale, "cond", "uncond")

    def pull(self, latents: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], scale: float) -> Tensor:
        """Return the mean over noise of `eps_hat - eps`: `s a (x - guided mean) / D`."""
        level = self.level(timestep)
        factor = per_view(level.noise * level.signal) / self.exact.variance(level)
        return factor * (latents - self.guided_mean(scale))


@dataclass
class GaussianParticles(GaussianViews):
    """Implements `bozzetto.kinds.score.AdaptedPrior`: an adapter that knows the rendered views exactly.

    It predicts the noise of data N(x, tau^2) around the encoded views x: `s (x_t - a x) / (a^2 tau^2 + s^2)`. With tau
    0 that is the noise itself; with tau the deviation of the prior's data, the noise as far as the prior sees it.
    """

    particle_deviation: float = 0.0
    """Standard deviation tau."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.particles = torch.zeros(())
        self.adapter = torch.ones((), requires_grad=True)
        """Factor of the adapter's output."""
        self.asked: list[tuple[Tensor, Branch, Tensor]] = []
        """Timesteps, branch and told cameras of each call of `predict_adapted`."""

    def latents(self, rendered: Rendered, generator: torch.Generator) -> Float[Tensor, "B C h w"]:
        """Return the pixels, which the adapter knows from now on."""
        made = super().latents(rendered, generator)
        self.particles = made.detach()
        return made

    def predict_adapted(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], branch: Branch, told: Bool[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Return the exact output for the encoded views, which depends on `adapter`."""
        self.asked.append((timestep, branch, told))
        level = self.level(timestep)
        signal, noise = per_view(level.signal), per_view(level.noise)
        spread = signal.square() * self.particle_deviation**2 + noise.square()
        epsilon = noise * (noisy - signal * self.particles) / spread
        output = target_at(self.output, x0_at("epsilon", epsilon, noisy, level), epsilon, level)
        return self.adapter.to(noisy.device) * output
