"""Score distillation as a composition: timesteps, noise, guider, reference, weighting, image term."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ConfigError
from bozzetto.kinds.score import HasAdapter, Prior, PriorSource
from bozzetto.kinds.trainable import Fitting
from bozzetto.math.clean_residuals import image_gradient
from bozzetto.math.levels import epsilon_at, per_view
from bozzetto.math.rescaling import normalised
from bozzetto.math.score import sds_gradient, sds_loss
from bozzetto.math.timesteps import level_weight
from bozzetto.scoring import Predict, Prediction, debug_pictures, denoise, guided
from bozzetto.types import Guided, Rendered
from bozzetto_plugins.score.adapter_reference import adapter_fit, adapter_noise
from bozzetto_plugins.score.config import DistillationConfig
from bozzetto_plugins.score.consistent_noise import ConsistentNoise
from bozzetto_plugins.score.guiders import guide
from bozzetto_plugins.score.noise_sources import (
    Noised,
    add_given,
    add_inverted,
    add_inverted_interval,
    add_own_prediction,
    add_random,
)
from bozzetto_plugins.score.timesteps import timesteps

Latents = Float[Tensor, "B C h w"]


class Distillation:
    """Score whose gradient in the latents of a view is `w(t) (guided prediction - reference)`.

    With the defaults SDS (DreamFusion, Poole et al. 2022, eq. 3). Random numbers are drawn from the given generator in
    the order: encoder sample, timesteps, noise, fresh noise of the inversion, and after the scene's step those of the
    adapter's training: its timesteps, noise, dropped cameras. A choice that needs none draws none; consistent noise
    depends on the seed of the run, and draws nothing from the generator.

    With the reference `adapter` variational score distillation (ProlificDreamer, Wang et al. 2023): the score trains an
    adapter of the guidance's network (`bozzetto.kinds.trainable`).

    Args:
        name: name of the loss.
    """

    def __init__(self, config: DistillationConfig, name: str = "score") -> None:
        self.config = config
        self.name = name
        self.source: HasAdapter | None = None
        self._adapter: nn.Module | None = None
        self._consistent = ConsistentNoise()

    def attach(self, source: PriorSource) -> None:
        """Take the seed of the run, and add the adapter to the guidance's network, if the score has one.

        Raises:
            ConfigError: the guidance offers none.
        """
        self._consistent = ConsistentNoise(torch.initial_seed())
        if not self.config.needs_adapter:
            return
        if not isinstance(source, HasAdapter):
            raise ConfigError(
                f"score.reference: the guidance {type(source).__name__} has no method 'add_adapter'. Choose another "
                "reference."
            )
        self.source, self._adapter = source, source.add_adapter(self.config.reference.rank)

    @property
    def fitting(self) -> Fitting:
        """How the adapter is trained."""
        reference = self.config.reference
        return Fitting(
            reference.learning_rate, reference.betas, weight_decay=reference.weight_decay, steps=reference.steps
        )

    def trainable(self) -> nn.Module | None:
        """Return the adapter's parameters; None without one."""
        return self._adapter

    def rest(self) -> None:
        """Let the guidance's weights be offloaded."""
        if self.source is not None:
            self.source.rest()

    def reconfigure(self, config: DistillationConfig) -> None:
        """Use other settings from the next step on.

        Raises:
            ConfigError: they are of an adapter, which is made and gets its optimiser as the stage begins.
        """
        has_adapter = config.needs_adapter or self.config.needs_adapter
        if has_adapter and config.reference != self.config.reference:
            raise ConfigError("reference: an adapter and its optimiser are fixed while the stage trains")
        self.config = config

    def __call__(self, prior: Prior, rendered: Rendered, step: int, generator: torch.Generator) -> Guided:
        """Return the loss, whose gradient in the latents is the mean over views of the gradient of each.

        Raises:
            ConfigError: the prior lacks a branch or an adapter, or the image term is used on latent images.
            NonFiniteError: the image, its latents or the gradient contain NaN or infinity.
        """
        config = self.config
        latents = prior.latents(rendered, generator)
        timestep = timesteps(config.timesteps, latents, prior, step, generator)
        start = self._noised(prior, rendered, latents.detach(), timestep, step, generator)
        if config.needs_adapter:
            start = replace(start, reference=adapter_noise(prior, start))

        def predict(noisy: Tensor, timestep: Tensor) -> Prediction:
            return guide(config.guider, prior, noisy, timestep, step)

        prediction = self._prediction(prior, start, predict)
        weight = level_weight(config.weighting, start.level)
        weight = weight if prior.view_weight is None else weight * prior.view_weight
        made = guided(
            prior, rendered, latents, self._gradient(prediction.epsilon, start.reference, weight), start.timestep, step,
            name=self.name, form=config.form, clip=None if config.grad_clip is None else config.grad_clip.at(step),
            clip_by=config.grad_clip_by,
            pictures=debug_pictures(
                prior, latents, start.noisy, start.timestep, prediction.x0, predict, config.debug_steps
            ) if config.debug else None,
        )  # fmt: skip
        if config.needs_adapter:
            clean = latents.detach()
            made = replace(made, fit=lambda: adapter_fit(config.reference, prior, clean, generator))
        factor = config.image_term.at(step)
        if factor == 0.0:
            return made
        image = self._image_loss(prior, rendered, prediction.x0, start, factor * weight)
        return replace(made, losses={self.name: made.losses[self.name] + image})

    def _noised(
        self, prior: Prior, rendered: Rendered, latents: Latents, timestep: Int[Tensor, "B"], step: int,
        generator: torch.Generator,
    ) -> Noised:  # fmt: skip
        config = self.config
        if config.noise.type == "random":
            return add_random(prior, latents, timestep, generator)
        if config.noise.type == "consistent":
            noise = self._consistent(config.noise, prior.cameras, rendered, latents, step)
            return add_given(prior, latents, timestep, noise)
        if config.noise.type == "own-prediction":
            return add_own_prediction(prior, latents, timestep, generator)
        if config.reference.type == "interval":
            gap = config.reference.gap.at(step)
            return add_inverted_interval(config.noise, prior, latents, timestep, gap, generator)
        return add_inverted(config.noise, prior, latents, timestep, generator)

    def _prediction(self, prior: Prior, start: Noised, predict: Predict) -> Prediction:
        """Return what is predicted of the noisy latents, in one step or along the path to clean latents."""
        steps = self.config.target_steps
        if steps == 1:
            return predict(start.noisy, start.timestep)
        x0 = denoise(prior, predict, start.noisy, start.timestep, steps)
        return Prediction(epsilon_at("x0", x0, start.noisy, start.level), x0)

    def _gradient(self, epsilon: Latents, reference: Latents, weight: Float[Tensor, "B"]) -> Latents:
        has_reference = self.config.reference.type != "none"
        gradient = sds_gradient(epsilon, reference, weight) if has_reference else per_view(weight) * epsilon
        return normalised(gradient) if self.config.normalise else gradient

    def _image_loss(
        self, prior: Prior, rendered: Rendered, x0: Latents, start: Noised, weight: Float[Tensor, "B"]
    ) -> Float[Tensor, ""]:
        """Return the image term of HiFA (Zhu et al. 2023) as a scalar, in the same form as the latents' loss."""
        form = self.config.form
        assert form != "backward"  # the config's checks
        if rendered.space != "rgb":
            raise ConfigError("score.image_term: compares colours; render the scene in space 'rgb', or set it to 0.")
        image, decoded = prior.image(rendered), prior.decode(x0)
        prior.rest()
        return sds_loss(image, image_gradient(image.detach(), decoded, start.level, weight), form)
