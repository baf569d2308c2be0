"""Score protocol: how the predictions of a diffusion prior become a gradient; and the prior that it is given.

A guidance owns networks, a score owns the method. In each step the guidance is bound to the condition and the cameras
of the views (`PriorSource.prior`), and the score asks that `Prior` for latents, noise levels and predictions. A prior
may be of latents or of pixels, of noise, velocity or flow: a score that converts with `epsilon` and `x0` works on all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bozzetto.math.levels import Level, Output
from bozzetto.types import Cameras, Guided, Rendered, ViewCondition

__all__ = ["AdaptedPrior", "Attached", "Branch", "HasAdapter", "HasLevels", "Prior", "PriorSource", "Score"]

Branch = Literal["cond", "uncond", "empty", "plain", "negatives", "image"]
"""What a prediction is conditioned on: the view's prompt, the negative prompt, the empty prompt, the prompt without
words for the view, or Perp-Neg's negative view prompts. A prior of photos has `cond`, them, and `uncond`, none; one of
texts and an image to edit has `cond`, both, `image`, the image alone, and `uncond`, neither."""


@runtime_checkable
class HasLevels(Protocol):
    """Model with levels of noise."""

    def level(self, timestep: Int[Tensor, "B"]) -> Level:
        """Return signal and noise at each timestep."""


@runtime_checkable
class Prior(HasLevels, Protocol):
    """Diffusion prior of B views. Frozen: no gradient passes through `predict`. It draws no random number by itself."""

    @property
    def name(self) -> str:
        """Name of the guidance, for error messages."""

    @property
    def cure(self) -> str:
        """What to try if a value is not finite, a sentence; may be empty."""

    @property
    def train_steps(self) -> int:
        """T, the number of noise levels; a timestep is in [0, T), and noise increases with it."""

    @property
    def branches(self) -> frozenset[Branch]:
        """Branches that `predict` knows for these views."""

    @property
    def negative_weights(self) -> Float[Tensor, "B K"] | None:
        """Weights of the branch `negatives`, non-positive; None without that branch."""

    @property
    def cameras(self) -> Cameras:
        """Cameras of the views."""

    @property
    def views_per_group(self) -> int:
        """Consecutive views that belong together, `Cameras.views_per_group`; 1: each view is by itself."""

    @property
    def view_weight(self) -> Float[Tensor, "B"] | None:
        """Factor of each view's gradient; None: 1."""

    def latents(self, rendered: Rendered, generator: torch.Generator) -> Float[Tensor, "B C h w"]:
        """Encode a rendering; differentiable. May draw one encoder sample, before all other draws of a step."""

    def image(self, rendered: Rendered) -> Float[Tensor, "B 3 H W"]:
        """Return an RGB rendering in [0, 1] as the encoder reads it, at the size of `decode`; differentiable."""

    def predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], branches: Sequence[Branch]
    ) -> Mapping[Branch, Tensor]:
        """Return the raw output of the network for each branch, "B C h w", in one batch; `negatives` is "B K C h w".

        Raises:
            ConfigError: a branch is not in `branches`.
        """

    def epsilon(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert an output to noise. Affine in `output`."""

    def x0(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert an output to clean latents. Affine in `output`."""

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decode latents to images in [0, 1], without gradient."""

    def rest(self) -> None:
        """Signal that nothing is predicted until the next step, so that weights can be offloaded."""


@runtime_checkable
class PriorSource(Protocol):
    """Guidance whose networks can be used by any score.

    Its config declares, as class attributes, `prior_branches`, the branches that it can predict, and
    `replaced_by_score`, its fields that have no effect in a task with a score: setting them is refused.
    """

    def prior(self, condition: ViewCondition, cameras: Cameras, step: int) -> Prior:
        """Return the prior of the views of one step."""


@runtime_checkable
class HasAdapter(PriorSource, Protocol):
    """Prior source whose network takes a low-rank adapter (LoRA, Hu et al. 2021), which a score trains.

    Its config declares the class attribute `has_adapter = True`; a score's config that needs one, the attribute
    `needs_adapter`.
    """

    def add_adapter(self, rank: int) -> nn.Module:
        """Add an adapter and return its parameters, float32, freshly initialised from torch's generator.

        From then on each `prior` is an `AdaptedPrior`. `predict` does not change, bit for bit; nor does the adapter's
        prediction differ from it at first. Called once, before training.
        """

    def rest(self) -> None:
        """Signal that nothing is predicted until the next step, so that weights can be offloaded."""


@runtime_checkable
class AdaptedPrior(Prior, Protocol):
    """Prior of B views whose network has an adapter."""

    @property
    def output(self) -> Output:
        """What the network predicts."""

    def predict_adapted(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], branch: Branch, told: Bool[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Return the raw output of the network with its adapter, differentiable in the adapter's parameters.

        Args:
            told: views whose camera the adapter is told; the others have none.

        Raises:
            ConfigError: the branch is not in `branches`, or there is no adapter.
        """


@runtime_checkable
class Attached(Protocol):
    """Score that asks the guidance for more than predictions, e.g. for an adapter of its network."""

    def attach(self, source: PriorSource) -> None:
        """Take what the score needs of the guidance; called once, when the stage is built.

        Random numbers come from torch's generator, which is seeded for this call.

        Raises:
            ConfigError: the guidance does not have it.
        """


@runtime_checkable
class Score(Protocol):
    """Score. Constructor: `Score(config)`. The manifest's `provides` lists the names of its losses, e.g. `{"score"}`.

    `bozzetto.scoring` has what most scores share: checks, clipping, loss forms and debug images.
    """

    def __call__(self, prior: Prior, rendered: Rendered, step: int, generator: torch.Generator) -> Guided:
        """Return losses whose gradient with respect to `rendered.image` moves the views toward the condition.

        Every random number comes from `generator`, in this order: those of `prior.latents`, timesteps, noise, further
        draws. What is not needed is not drawn.
        """
