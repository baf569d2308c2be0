"""Score distillation from a latent diffusion model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.errors import ConfigError, ModelError
from bozzetto.math.guidance import cfg, perp_neg, rescale
from bozzetto.math.score import add_noise, clip_gradient, require_finite, sds_gradient, sds_loss, sds_pair
from bozzetto.math.timesteps import sample_timesteps, step_range, timestep_weight
from bozzetto.types import Cameras, Guided, Rendered, ViewCondition
from bozzetto.vocabulary import Vocabulary
from bozzetto_plugins.guidance.clip_text import ClipText
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.latents import image_to_input, latents_of_latent, latents_of_normals, to_pictures
from bozzetto_plugins.guidance.precision import choose_dtype


class StableDiffusion:
    """SDS (DreamFusion, Poole et al. 2022) in the latent space of Stable Diffusion 1.x, 2.x or a model of that format.

    The rendered image is encoded, noised to a random level, and the guided prediction of that noise, less the noise,
    is the gradient. Nothing is decoded. Every random number is drawn from the generator given, in this order: the
    encoder's sample, the timesteps, the noise.

    Args:
        model_folder: in diffusers' format.
        device: where the networks run; rendered images must be there.

    Raises:
        ModelError: the folder does not hold such a model.
        ConfigError: the configuration asks for what this model cannot do.
    """

    def __init__(self, config: StableDiffusionConfig, model_folder: Path, device: torch.device) -> None:
        dtype = choose_dtype(config.dtype, device)
        self.config = config
        self.denoiser = Denoiser(
            model_folder, device, dtype, config.cpu_offload, config.attention_slicing, config.channels_last
        )
        self.text = ClipText(model_folder, device, dtype)
        self.vocabulary = Vocabulary.read(model_folder)
        if self.text.width != self.denoiser.text_width:
            raise ModelError(
                f"{model_folder}: the text encoder is {self.text.width} wide, the denoiser expects "
                f"{self.denoiser.text_width}. The parts are of different models."
            )
        if config.as_latent_until_step and self.denoiser.latent_channels != 4:
            raise ConfigError(
                f"guidance.as_latent_until_step: normals and opacity make 4 latent channels, {config.model} has "
                f"{self.denoiser.latent_channels}. Set it to 0."
            )

    @property
    def text_model_id(self) -> str:
        """Identifies the text encoder by content and precision."""
        return self.text.model_id

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Embeddings of T texts in float32; the text encoder is in memory only during the call."""
        return self.text.encode(texts)

    def unknown_words(self, text: str) -> Sequence[str]:
        """Words the model never saw; empty for an open vocabulary. `vocabulary` holds what it knows."""
        return self.vocabulary.unknown(text) if self.vocabulary else ()

    def needs_normal(self, step: int) -> bool:
        """Whether `Rendered.normal` is read in this step: during the warm-up in latent space."""
        return step < self.config.as_latent_until_step

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """The SDS loss `sds`, whose gradient in the latents is the mean over views of w(t) (eps_hat - eps).

        Raises:
            NonFiniteError: the image, its latents or the gradient have a NaN or an infinity.
        """
        config, denoiser = self.config, self.denoiser
        latents = self._latents(rendered, step, generator)
        low, high = step_range(
            config.min_step_fraction.at(step), config.max_step_fraction.at(step), denoiser.train_steps
        )
        timestep = sample_timesteps(len(latents), low, high, generator).to(latents.device)
        alpha_bar = denoiser.alpha_bar(timestep)
        epsilon = _normal_noise(latents, generator)
        noisy = add_noise(latents.detach(), epsilon, alpha_bar)
        output = self._predict(noisy, timestep, condition, step)
        weight = timestep_weight(config.weighting, alpha_bar)
        gradient = sds_gradient(denoiser.epsilon(output, noisy, alpha_bar), epsilon, weight)
        self._require_finite(rendered.image, latents, gradient, step)
        if config.grad_clip is not None:
            gradient = clip_gradient(gradient, config.grad_clip.at(step), config.grad_clip_by)

        def pictures() -> Mapping[str, Float[Tensor, "B H W 3"]]:
            shown = {
                "reconstruction": latents.detach(),
                "noisy": noisy,
                "denoised-one-step": denoiser.x0(output, noisy, alpha_bar),
            }
            if config.debug_steps:
                shown["denoised-fully"] = self._denoised(noisy, timestep, condition, step)
            return {name: to_pictures(denoiser.decode(value)) for name, value in shown.items()}

        backward = config.sds_form == "backward"
        return Guided(
            losses={} if backward else {"sds": sds_loss(latents, gradient, config.sds_form)},
            gradients={"sds": sds_pair(latents, gradient)} if backward else {},
            timestep=timestep,
            metrics={
                "gradient_norm": gradient.flatten(1).norm(dim=1).mean().item(),
                "timestep": timestep.float().mean().item(),
            },
            debug=pictures if config.debug else None,
        )

    def _latents(self, rendered: Rendered, step: int, generator: torch.Generator) -> Float[Tensor, "B C h w"]:
        denoiser = self.denoiser
        if rendered.space == "latent":
            return latents_of_latent(rendered, denoiser.latent_channels, denoiser.latent_size)
        if self.needs_normal(step):
            return latents_of_normals(rendered, denoiser.latent_size)
        image = image_to_input(rendered, denoiser.image_size)
        noise = None
        if self.config.encode == "sample":
            shape = image.new_empty(len(image), denoiser.latent_channels, *denoiser.latent_size)
            noise = _normal_noise(shape, generator)
        return denoiser.encode(image, noise)

    def _predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Tensor, condition: ViewCondition, step: int
    ) -> Float[Tensor, "B C h w"]:
        """The guided output of the network, all prompts in one batch."""
        scale = self.config.cfg_scale.at(step)
        texts = [condition.text]
        if self.config.guider == "perp-neg":
            if condition.negatives is None or condition.negative_weights is None:
                raise ConfigError(
                    "guidance.guider: 'perp-neg' needs negative prompts, and the prompt processor gives none. "
                    "Set system.prompt_processor.negatives=true, or guider=cfg."
                )
            texts += [condition.uncond, *condition.negatives.unbind(dim=1)]
        elif scale != 1.0:
            texts.append(condition.uncond)
        prompts = len(texts)
        output = self.denoiser.predict(noisy.repeat(prompts, 1, 1, 1), timestep.repeat(prompts), torch.cat(texts))
        self.denoiser.rest()
        cond, *others = output.chunk(prompts)
        if not others:
            return cond
        if self.config.guider == "perp-neg":
            weights = condition.negative_weights.to(cond)
            guided = perp_neg(cond, others[0], torch.stack(others[1:], dim=1), weights, scale)
        else:
            guided = cfg(cond, others[0], scale)
        return rescale(guided, cond, self.config.cfg_rescale) if self.config.cfg_rescale else guided

    def _denoised(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], condition: ViewCondition, step: int
    ) -> Float[Tensor, "B C h w"]:
        """Where the guided prediction leads in `debug_steps` deterministic steps (DDIM, Song et al. 2020, eq. 12).

        Each view starts at its own timestep. No random number is drawn: looking changes nothing of the run.
        """
        steps, denoiser = self.config.debug_steps, self.denoiser
        for left in range(steps, 0, -1):
            now, after = timestep * left // steps, timestep * (left - 1) // steps
            output, alpha_bar = self._predict(noisy, now, condition, step), denoiser.alpha_bar(now)
            clean = denoiser.x0(output, noisy, alpha_bar)
            noisy = add_noise(clean, denoiser.epsilon(output, noisy, alpha_bar), denoiser.alpha_bar(after))
        return clean

    def _require_finite(self, image: Tensor, latents: Tensor, gradient: Tensor, step: int) -> None:
        """Looks for the first culprit only when something is wrong: one check per step."""
        if bool(torch.isfinite(gradient).all()):
            return
        cure = f"Its weights are in {self.denoiser.dtype}; try guidance.dtype=float32.".replace("torch.", "")
        require_finite(image, "rendered image", step)
        require_finite(latents, "stable-diffusion's image encoder", step, cure)
        require_finite(gradient, "stable-diffusion's denoiser", step, cure)


def _normal_noise(like: Float[Tensor, "B C h w"], generator: torch.Generator) -> Float[Tensor, "B C h w"]:
    """Unit Gaussian noise drawn on the generator's device."""
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like.device)
