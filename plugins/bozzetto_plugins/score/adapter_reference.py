"""The reference `adapter`: the noise that an adapter of the network predicts, which learns the rendered views."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.kinds.score import AdaptedPrior, Prior
from bozzetto.math.levels import add_noise_at
from bozzetto.math.particle_score import adapter_loss
from bozzetto.math.timesteps import sample_timesteps
from bozzetto.math.view_draws import draw_rows
from bozzetto.scoring import normal_noise
from bozzetto_plugins.score.axes import ReferenceConfig
from bozzetto_plugins.score.noise_sources import Noised

Latents = Float[Tensor, "B C h w"]


@torch.no_grad()
def adapter_noise(prior: Prior, start: Noised) -> Latents:
    """Return the noise that the adapter predicts for the plain prompt, told every camera.

    Raises:
        ConfigError: the prior has no adapter.
    """
    adapted = _adapted(prior)
    told = torch.ones(len(start.noisy), dtype=torch.bool, device=start.noisy.device)
    output = adapted.predict_adapted(start.noisy, start.timestep, "plain", told)
    return prior.epsilon(output, start.noisy, start.timestep)


def adapter_fit(
    config: ReferenceConfig, prior: Prior, latents: Latents, generator: torch.Generator
) -> Float[Tensor, ""]:
    """Return the adapter's loss at latents of rendered views (ProlificDreamer, Wang et al. 2023, eq. 9).

    Its timesteps are uniform over all of the model's, whatever the window of the score. Draws a timestep per view, the
    noise, then a number per view that decides whether the camera is told.
    """
    adapted = _adapted(prior)
    timestep = sample_timesteps(len(latents), 0, prior.train_steps - 1, generator).to(latents.device)
    noise = normal_noise(latents, generator)
    chance = draw_rows(lambda n, g: torch.rand(n, generator=g, device=g.device), len(latents), generator)
    told = (chance >= config.camera_dropout).to(latents.device)
    level = prior.level(timestep)
    output = adapted.predict_adapted(add_noise_at(latents, noise, level), timestep, "plain", told)
    return adapter_loss(adapted.output, output, latents, noise, level)


def _adapted(prior: Prior) -> AdaptedPrior:
    if not isinstance(prior, AdaptedPrior):
        raise ConfigError(f"score.reference: the guidance {prior.name!r} offers no adapter of its network.")
    return prior
