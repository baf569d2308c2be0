"""Score distillation from a text-conditioned latent diffusion model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ConfigError, ModelError
from bozzetto.kinds.score import Branch
from bozzetto.types import Cameras, Guided, Rendered, ViewCondition
from bozzetto.vocabulary import Vocabulary
from bozzetto_plugins.guidance.clip_text import ClipText
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.controls import Steer, Steering
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.families import camera_labels
from bozzetto_plugins.guidance.latent_prior import LatentPrior, encode_image
from bozzetto_plugins.guidance.latents import latents_of_latent, latents_of_normals
from bozzetto_plugins.guidance.loras import Loras
from bozzetto_plugins.guidance.precision import choose_dtype
from bozzetto_plugins.guidance.settings_change import score_of_changed
from bozzetto_plugins.score.distillation import Distillation


class StableDiffusion:
    """SDS (DreamFusion, Poole et al. 2022) in the latent space of Stable Diffusion 1.x, 2.x or a model of that format.

    The rendered image is encoded and noised at a random timestep; the gradient is the guided noise prediction minus the
    noise. Nothing is decoded. Random numbers are drawn from the given generator in the order: encoder sample,
    timesteps, noise.

    Args:
        model_folder: model in diffusers' format.
        device: where the networks run; rendered images must be on it.

    Raises:
        ModelError: the folder does not contain such a model.
        ConfigError: the settings require what this model does not support.
    """

    def __init__(self, config: StableDiffusionConfig, model_folder: Path, device: torch.device) -> None:
        dtype = choose_dtype(config.dtype, device)
        self.config = config
        loras = Loras(config.loras) if config.loras else None
        self.denoiser = Denoiser(
            model_folder, device, dtype, config.cpu_offload, config.attention_slicing, config.channels_last,
            encode_views=config.encode_views, compiled=config.compile_networks,
            prepare=None if loras is None else loras.merge_into_denoiser,
        )  # fmt: skip
        self.text = ClipText(model_folder, device, dtype, loras)
        self.vocabulary = Vocabulary.read(model_folder)
        if self.text.width != self.denoiser.text_width:
            raise ModelError(
                f"{model_folder}: the text encoder is {self.text.width} wide, the denoiser expects "
                f"{self.denoiser.text_width}. The parts are of different models."
            )
        self._score = Distillation(config.as_score(), "sds")
        if config.as_latent_until_step and self.denoiser.latent_channels != 4:
            raise ConfigError(
                f"guidance.as_latent_until_step: normals and opacity make 4 latent channels, {config.model} has "
                f"{self.denoiser.latent_channels}. Set it to 0."
            )

    def reconfigure(self, config: StableDiffusionConfig) -> None:
        """Use other settings of SDS from the next step on. Raises `ConfigError` if one of the model differs."""
        self._score.reconfigure(score_of_changed(self.config, config))
        self.config = config

    @property
    def text_model_id(self) -> str:
        """Identifier of the text encoder: a hash of its content and data type."""
        return self.text.model_id

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Return float32 embeddings of T texts; the text encoder is in memory only during the call."""
        return self.text.encode(texts)

    def unknown_words(self, text: str) -> Sequence[str]:
        """Return the words unknown to the model; empty for an open vocabulary. `vocabulary` lists the known ones."""
        return self.vocabulary.unknown(text) if self.vocabulary else ()

    def needs_normal(self, step: int) -> bool:
        """Return whether `Rendered.normal` is read in this step: by the latent warm-up, or by a ControlNet."""
        controls = self.denoiser.controls
        return self._warms_up(step) or (controls is not None and controls.read_normals(step))

    def use_models(self, folders: Mapping[str, Path]) -> None:
        """Load the ControlNets; `folders` are those of `config.further_models`, by name."""
        self.denoiser.add_controls(self.config.controls, folders)

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """Return the SDS loss `sds`, whose gradient in the latents is the mean over views of w(t) (eps_hat - eps).

        Raises:
            NonFiniteError: the image, its latents or the gradient contain NaN or infinity.
        """
        return self._score(self.prior(condition, cameras, step), rendered, step, generator)

    def prior(self, condition: ViewCondition, cameras: Cameras, step: int) -> LatentPrior:
        """Return the prior of the views of one step. Random numbers of an encoder sample are drawn as it encodes."""
        told = camera_labels(self.denoiser.unet, cameras)
        texts = texts_of(condition)
        controls = self.denoiser.controls
        steering = None if controls is None else Steering(controls, cameras, step)

        def encode(rendered: Rendered, generator: torch.Generator) -> Tensor:
            if steering is not None:
                steering.see(rendered)
            return self._latents(rendered, step, generator)

        def outputs(noisy: Tensor, timestep: Tensor, branches: Sequence[Branch]) -> Mapping[Branch, Tensor]:
            return self._outputs(noisy, timestep, {branch: texts[branch] for branch in branches}, told, steering)

        def adapted(noisy: Tensor, timestep: Tensor, branch: Branch, seen: Tensor) -> Tensor:
            pose = cameras.c2w.flatten(1) * seen[:, None]
            return self.denoiser.predict_adapted(noisy, timestep, texts[branch][0], pose, told, steering)

        return LatentPrior(
            self.denoiser,
            "stable-diffusion",
            encode,
            outputs,
            frozenset(texts),
            condition.negative_weights,
            cameras=cameras,
            adapted=adapted,
        )

    def add_adapter(self, rank: int) -> nn.Module:
        """Add a low-rank adapter to the denoiser, and return its parameters.

        Raises:
            ConfigError: the package peft is missing, or the network has no layer to adapt.
        """
        return self.denoiser.add_adapter(rank)

    def rest(self) -> None:
        """Let the denoiser's weights be offloaded."""
        self.denoiser.rest()

    def _warms_up(self, step: int) -> bool:
        return step < self.config.as_latent_until_step

    def _latents(self, rendered: Rendered, step: int, generator: torch.Generator) -> Float[Tensor, "B C h w"]:
        denoiser = self.denoiser
        if rendered.space == "latent":
            return latents_of_latent(rendered, denoiser.latent_channels, denoiser.latent_size)
        if self._warms_up(step):
            return latents_of_normals(rendered, denoiser.latent_size)
        return encode_image(denoiser, rendered, self.config.encode == "sample", generator)

    def _outputs(
        self,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        texts: Mapping[Branch, Float[Tensor, "K B N E"]],
        cameras: Float[Tensor, "B 17"] | None,
        steer: Steer | None,
    ) -> Mapping[Branch, Tensor]:
        """Return the output of the network for each branch; all prompts form one batch."""
        prompts = sum(len(text) for text in texts.values())
        output = self.denoiser.predict(
            noisy.repeat(prompts, 1, 1, 1), timestep.repeat(prompts), torch.cat([*texts.values()]).flatten(0, 1),
            None if cameras is None else cameras.repeat(prompts, 1), *(() if steer is None else (steer,)),
        )  # fmt: skip
        parts = output.unflatten(0, (prompts, len(noisy))).split([len(text) for text in texts.values()])
        return {
            branch: part.transpose(0, 1) if branch == "negatives" else part[0]
            for branch, part in zip(texts, parts, strict=True)
        }


def texts_of(condition: ViewCondition) -> dict[Branch, Float[Tensor, "K B N E"]]:
    """Return the embeddings of each branch that a condition has: one per view, or several of `negatives`."""
    negatives = condition.negatives
    found: dict[Branch, Tensor | None] = {
        "cond": condition.text[None],
        "uncond": condition.uncond[None],
        "empty": None if condition.empty is None else condition.empty[None],
        "plain": None if condition.plain is None else condition.plain[None],
        "negatives": None if negatives is None else negatives.transpose(0, 1),
    }
    return {branch: text for branch, text in found.items() if text is not None}
