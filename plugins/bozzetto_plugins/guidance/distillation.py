"""One step of score distillation in latents, independent of the denoiser's conditioning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.score import add_noise, clip_gradient, require_finite, sds_gradient, sds_loss, sds_pair
from bozzetto.math.timesteps import sample_timesteps, step_range, timestep_weight
from bozzetto.math.view_draws import draw_rows
from bozzetto.types import Guided, Rendered
from bozzetto_plugins.guidance.config import StableDiffusionConfig, Zero123Config
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.latents import image_to_input, to_pictures

Predict = Callable[[Tensor, Tensor], Tensor]
"""Function from noisy latents "B C h w" and timesteps "B" to the guided output of the network."""


@dataclass(frozen=True)
class Distillation:
    """SDS loss (DreamFusion, Poole et al. 2022, eq. 3).

    Random numbers are drawn from the given generator in the order: timesteps, noise.
    """

    denoiser: Denoiser
    config: StableDiffusionConfig | Zero123Config
    name: str
    """Name of the guidance, for error messages."""
    predict: Predict

    def __call__(
        self,
        image: Tensor,
        latents: Float[Tensor, "B C h w"],
        step: int,
        generator: torch.Generator,
        view_weight: Float[Tensor, "B"] | None = None,
    ) -> Guided:
        """Return the loss `sds`, whose gradient in the latents is the mean over views of w(t) (eps_hat - eps).

        Args:
            image: the rendered image; used only for diagnosis if a value is not finite.
            view_weight: factor of each view's gradient; None: 1.

        Raises:
            NonFiniteError: the image, its latents or the gradient contain NaN or infinity.
        """
        config, denoiser = self.config, self.denoiser
        low, high = step_range(
            config.min_step_fraction.at(step), config.max_step_fraction.at(step), denoiser.train_steps
        )
        timestep = sample_timesteps(len(latents), low, high, generator).to(latents.device)
        alpha_bar = denoiser.alpha_bar(timestep)
        epsilon = normal_noise(latents, generator)
        noisy = add_noise(latents.detach(), epsilon, alpha_bar)
        output = self.predict(noisy, timestep)
        weight = timestep_weight(config.weighting, alpha_bar)
        weight = weight if view_weight is None else weight * view_weight
        gradient = sds_gradient(denoiser.epsilon(output, noisy, alpha_bar), epsilon, weight)
        self._require_finite(image, latents, gradient, step)
        if config.grad_clip is not None:
            gradient = clip_gradient(gradient, config.grad_clip.at(step), config.grad_clip_by)

        def pictures() -> Mapping[str, Float[Tensor, "B H W 3"]]:
            shown = {
                "reconstruction": latents.detach(),
                "noisy": noisy,
                "denoised-one-step": denoiser.x0(output, noisy, alpha_bar),
            }
            if config.debug_steps:
                shown["denoised-fully"] = denoise(denoiser, self.predict, noisy, timestep, config.debug_steps)
            return {name: to_pictures(denoiser.decode(value)) for name, value in shown.items()}

        form = config.sds_form
        return Guided(
            losses={} if form == "backward" else {"sds": sds_loss(latents, gradient, form)},
            gradients={"sds": sds_pair(latents, gradient)} if form == "backward" else {},
            timestep=timestep,
            metrics={
                "gradient_norm": gradient.flatten(1).norm(dim=1).mean().item(),
                "timestep": timestep.float().mean().item(),
            },
            debug=pictures if config.debug else None,
        )

    def _require_finite(self, image: Tensor, latents: Tensor, gradient: Tensor, step: int) -> None:
        """Check the gradient, and search for the first non-finite tensor only if that fails: one check per step."""
        if bool(torch.isfinite(gradient).all()):
            return
        cure = f"Its weights are in {self.denoiser.dtype}; try guidance.dtype=float32.".replace("torch.", "")
        require_finite(image, "rendered image", step)
        require_finite(latents, f"{self.name}'s image encoder", step, cure)
        require_finite(gradient, f"{self.name}'s denoiser", step, cure)


def encode_image(
    denoiser: Denoiser, rendered: Rendered, sample: bool, generator: torch.Generator
) -> Float[Tensor, "B C h w"]:
    """Encode an RGB rendering: a sample of the encoder's distribution if `sample`, else its mode."""
    image = image_to_input(rendered, denoiser.image_size)
    noise = None
    if sample:
        noise = normal_noise(image.new_empty(len(image), denoiser.latent_channels, *denoiser.latent_size), generator)
    return denoiser.encode(image, noise)


def denoise(
    denoiser: Denoiser, predict: Predict, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], steps: int
) -> Float[Tensor, "B C h w"]:
    """Denoise in `steps` deterministic steps with the guided prediction (DDIM, Song et al. 2020, eq. 12).

    Each view starts at its own timestep. No random number is drawn, so debug images do not affect a run.
    """
    for left in range(steps, 0, -1):
        now, after = timestep * left // steps, timestep * (left - 1) // steps
        output, alpha_bar = predict(noisy, now), denoiser.alpha_bar(now)
        clean = denoiser.x0(output, noisy, alpha_bar)
        noisy = add_noise(clean, denoiser.epsilon(output, noisy, alpha_bar), denoiser.alpha_bar(after))
    return clean


def normal_noise(like: Float[Tensor, "B C h w"], generator: torch.Generator) -> Float[Tensor, "B C h w"]:
    """Draw unit Gaussian noise on the generator's device."""
    shape = like.shape[1:]
    drawn = draw_rows(lambda n, g: torch.randn(n, *shape, generator=g, device=g.device), len(like), generator)
    return drawn.to(like.device)
