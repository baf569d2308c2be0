"""Prior of a latent diffusion model, for scores: one step's views, and what the guidance predicts of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.kinds.score import Branch
from bozzetto.math.levels import Level, Output
from bozzetto.scoring import normal_noise
from bozzetto.types import Cameras, Rendered
from bozzetto_plugins.guidance.latents import image_to_input

Encode = Callable[[Rendered, torch.Generator], Tensor]
"""Function from a rendering to latents "B C h w"."""
Outputs = Callable[[Tensor, Tensor, Sequence[Branch]], Mapping[Branch, Tensor]]
"""Function from noisy latents, timesteps and branches to raw outputs of the network."""
Adapted = Callable[[Tensor, Tensor, Branch, Tensor], Tensor]
"""Function from noisy latents, timesteps, a branch and truth values "B" to the output of the network with its adapter;
it is told the cameras of the views with a true value."""


@runtime_checkable
class Networks(Protocol):
    """Frozen networks of a prior: a `Denoiser`, or those of another family of models."""

    dtype: torch.dtype

    @property
    def train_steps(self) -> int:
        """T, the number of noise levels."""

    @property
    def output(self) -> Output:
        """What the denoiser predicts."""

    @property
    def latent_channels(self) -> int:
        """C, the number of channels of the latents."""

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, pixels."""

    def level(self, timestep: Int[Tensor, "B"]) -> Level:
        """Return signal and noise at each timestep."""

    def encode(
        self, image: Float[Tensor, "B 3 H W"], noise: Float[Tensor, "B C h w"] | None
    ) -> Float[Tensor, "B C h w"]:
        """Encode images in [0, 1]; `noise` samples the encoder's distribution, None is its mode."""

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decode latents to images in [0, 1]."""

    def epsilon(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert an output to noise."""

    def x0(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert an output to clean latents."""

    def rest(self) -> None:
        """Let the weights be offloaded."""


@dataclass(frozen=True)
class LatentPrior:
    """Implements `bozzetto.kinds.score.AdaptedPrior` with the networks of a model."""

    denoiser: Networks
    name: str
    encode: Encode
    outputs: Outputs
    branches: frozenset[Branch]
    negative_weights: Float[Tensor, "B K"] | None = None
    view_weight: Float[Tensor, "B"] | None = None
    adapted: Adapted | None = None
    """None: the guidance offers no adapter."""
    cameras: Cameras = field(kw_only=True)
    """Cameras of the views."""

    @property
    def cure(self) -> str:
        """What to try if a value is not finite."""
        return f"Its weights are in {self.denoiser.dtype}; try guidance.dtype=float32.".replace("torch.", "")

    @property
    def views_per_group(self) -> int:
        """Consecutive views that belong together."""
        return self.cameras.views_per_group

    @property
    def train_steps(self) -> int:
        """T, the number of noise levels that the model was trained on."""
        return self.denoiser.train_steps

    def latents(self, rendered: Rendered, generator: torch.Generator) -> Float[Tensor, "B C h w"]:
        """Encode a rendering; differentiable."""
        return self.encode(rendered, generator)

    def image(self, rendered: Rendered) -> Float[Tensor, "B 3 H W"]:
        """Return an RGB rendering at the input size of the image encoder."""
        return image_to_input(rendered, self.denoiser.image_size)

    def level(self, timestep: Int[Tensor, "B"]) -> Level:
        """Return signal and noise at each timestep."""
        return self.denoiser.level(timestep)

    def predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], branches: Sequence[Branch]
    ) -> Mapping[Branch, Tensor]:
        """Return the raw output of the network for each branch.

        Raises:
            ConfigError: the condition of these views lacks a branch.
        """
        self._require(branches)
        return self.outputs(noisy, timestep, branches)

    @property
    def output(self) -> Output:
        """What the network predicts."""
        return self.denoiser.output

    def predict_adapted(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], branch: Branch, told: Bool[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Return the raw output of the network with its adapter, which is told the cameras of some views.

        Raises:
            ConfigError: the condition of these views lacks the branch, or there is no adapter.
        """
        self._require([branch])
        if self.adapted is None:
            raise ConfigError(f"score.reference: the guidance {self.name!r} offers no adapter of its network.")
        return self.adapted(noisy, timestep, branch, told)

    def _require(self, branches: Sequence[Branch]) -> None:
        for branch in branches:
            if branch not in self.branches:
                cure = " Set system.prompt_processor.negatives=true." if branch == "negatives" else ""
                known = ", ".join(sorted(self.branches))
                raise ConfigError(
                    f"score: needs predictions of the branch {branch!r}, and the prompt processor and the guidance "
                    f"{self.name!r} give {known}.{cure}"
                )

    def epsilon(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert an output to noise."""
        return self.denoiser.epsilon(output, noisy, timestep)

    def x0(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert an output to clean latents."""
        return self.denoiser.x0(output, noisy, timestep)

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decode latents to images in [0, 1]."""
        return self.denoiser.decode(latents)

    def rest(self) -> None:
        """Let the weights be offloaded."""
        self.denoiser.rest()


def encode_image(
    denoiser: Networks, rendered: Rendered, sample: bool, generator: torch.Generator
) -> Float[Tensor, "B C h w"]:
    """Encode an RGB rendering: a sample of the encoder's distribution if `sample`, else its mode."""
    image = image_to_input(rendered, denoiser.image_size)
    noise = None
    if sample:
        noise = normal_noise(image.new_empty(len(image), denoiser.latent_channels, *denoiser.latent_size), generator)
    return denoiser.encode(image, noise)
