"""Guidance by a diffusion model of one of several families, as a prior for scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.kinds.score import Branch
from bozzetto.types import Cameras, Guided, Rendered, ViewCondition
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig, lacks_groups
from bozzetto_plugins.guidance.latent_prior import LatentPrior, encode_image
from bozzetto_plugins.guidance.latents import latents_of_latent
from bozzetto_plugins.guidance.model_families.known import KnownFamily, known_family
from bozzetto_plugins.guidance.model_families.networks import FamilyNetworks
from bozzetto_plugins.guidance.model_families.text_parts import digest_of
from bozzetto_plugins.guidance.precision import is_accelerator, processor_dtype
from bozzetto_plugins.guidance.stable_diffusion import texts_of
from bozzetto_plugins.score.config import DistillationConfig
from bozzetto_plugins.score.distillation import Distillation


class DiffusionPrior:
    """Prior of a diffusion model, whose family is the pipeline that its folder names in `model_index.json`.

    By itself its method is SDS (DreamFusion, Poole et al. 2022), as the score `distillation` does by default. Random
    numbers are drawn from the given generator in the order: encoder sample, timesteps, noise.

    Args:
        model_folder: model in diffusers' format.
        device: where the networks run; rendered images must be on it.

    Raises:
        ModelError: the folder does not contain a model of a known family.
        ConfigError: the settings require what this model does not support.
    """

    def __init__(self, config: DiffusionPriorConfig, model_folder: Path, device: torch.device) -> None:
        self.config = config
        self.known = known_family(model_folder)
        self.networks = FamilyNetworks(
            model_folder, self.known, device, dtype_of(config.dtype, self.known, device), config.cpu_offload,
            config.image_size, config.long_text,
        )  # fmt: skip
        self._folder = model_folder
        self._score = Distillation(DistillationConfig(), "sds")

    @cached_property
    def text_model_id(self) -> str:
        """Hash of the text encoders, the data type, and the settings that change what they say."""
        networks, config = self.networks, self.config
        return digest_of(
            self._folder, networks.family.text_parts, self.known.name, networks.dtype, networks.family.layout,
            config.long_text,
        )  # fmt: skip

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Return float32 embeddings of T texts in the packed form of `WordsLayout`; encoders are freed before."""
        family = self.networks.family
        return family.layout.pack(family.encode_text(texts))

    def unknown_words(self, text: str) -> Sequence[str]:
        """Return nothing: the vocabulary is open."""
        return ()

    def needs_normal(self, step: int) -> bool:
        """Return false: normals are not read."""
        return False

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """Return the SDS loss `sds`.

        Raises:
            NonFiniteError: the image, its latents or the gradient contain NaN or infinity.
        """
        return self._score(self.prior(condition, cameras, step), rendered, step, generator)

    def prior(self, condition: ViewCondition, cameras: Cameras, step: int) -> LatentPrior:
        """Return the prior of the views of one step. Random numbers of an encoder sample are drawn as it encodes.

        Raises:
            ConfigError: the model predicts groups of views, and there are none.
        """
        if self.known.grouped and cameras.views_per_group < 2:
            raise ConfigError(f"guidance.model: {lacks_groups(self.known.name, 'views')}.")
        texts = texts_of(condition)

        def outputs(noisy: Tensor, timestep: Tensor, branches: Sequence[Branch]) -> Mapping[Branch, Tensor]:
            return self._outputs(noisy, timestep, {branch: texts[branch] for branch in branches}, cameras)

        return LatentPrior(
            self.networks,
            "diffusion-prior",
            self._latents,
            outputs,
            frozenset(texts),
            condition.negative_weights,
            cameras=cameras,
        )

    def rest(self) -> None:
        """Let the denoiser's weights be offloaded."""
        self.networks.rest()

    def _latents(self, rendered: Rendered, generator: torch.Generator) -> Float[Tensor, "B C h w"]:
        networks = self.networks
        if rendered.space == "latent":
            return latents_of_latent(rendered, networks.latent_channels, networks.latent_size)
        sample = self.config.encode == "sample" and networks.vae is not None  # nothing is drawn for pixels
        return encode_image(networks, rendered, sample, generator)

    def _outputs(
        self,
        noisy: Float[Tensor, "B C h w"],
        timestep: Tensor,
        texts: Mapping[Branch, Float[Tensor, "K B N E"]],
        cameras: Cameras,
    ) -> Mapping[Branch, Tensor]:
        """Return the output of the network for each branch; all prompts form one batch."""
        prompts = sum(len(text) for text in texts.values())
        output = self.networks.predict(
            noisy.repeat(prompts, 1, 1, 1),
            timestep.repeat(prompts),
            torch.cat([*texts.values()]).flatten(0, 1),
            cameras,
        )
        parts = output.unflatten(0, (prompts, len(noisy))).split([len(text) for text in texts.values()])
        return {
            branch: part.transpose(0, 1) if branch == "negatives" else part[0]
            for branch, part in zip(texts, parts, strict=True)
        }


def dtype_of(name: str, known: KnownFamily, device: torch.device) -> torch.dtype:
    """Return the data type of `name`; `auto` is the family's on an accelerator, else the CPU's fastest."""
    if name == "auto" and not is_accelerator(device):
        return processor_dtype()
    dtype: torch.dtype = getattr(torch, known.half if name == "auto" else name)
    return dtype
