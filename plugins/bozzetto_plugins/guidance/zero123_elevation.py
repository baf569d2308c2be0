"""From how high a photo was taken, told by what the prior itself finds likely.

A model of the `stable-zero123` convention is told the elevation: the right one makes the photo itself likeliest.
A model of the `zero123` convention is told differences alone. But seen from straight above, going around an object
turns the picture about its middle, and what is straight above follows from the elevation of the photo. So for each
candidate the view from above is drawn, turned by quarters, and scored as the view from above of another azimuth.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.relative_pose import relative_pose
from bozzetto.math.score import add_noise
from bozzetto_plugins.guidance.distillation import denoise, normal_noise
from bozzetto_plugins.guidance.zero123_views import EncodedReference, PosedPrior, Views

CANDIDATES_DEG = (-10.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
NOISE_LEVELS = (0.3, 0.5, 0.7)
"""Fractions of the training steps at which candidates are scored."""
DRAWING_STEPS = 12
DRAWING_SCALE = 3.0
QUARTERS = (1, 2, 3)


def estimate_elevation_deg(guidance: PosedPrior, photo: EncodedReference, generator: torch.Generator) -> float:
    """The best of `CANDIDATES_DEG`."""
    absolute = guidance.convention == "stable-zero123"
    scores = _told_scores(guidance, photo, generator) if absolute else _turned_scores(guidance, photo, generator)
    return CANDIDATES_DEG[int(scores.argmin())]


@torch.no_grad()
def _told_scores(guidance: PosedPrior, photo: EncodedReference, generator: torch.Generator) -> Float[Tensor, "N"]:
    """How badly the photo itself is denoised when each elevation is said to be its own."""
    camera = _cameras(photo)
    tokens = guidance.tokens(photo, relative_pose(camera, camera, guidance.convention))
    latents = (photo.latents * guidance.denoiser.vae.config.scaling_factor).expand(len(camera), -1, -1, -1)
    return _errors(guidance, photo, latents, tokens, generator)


@torch.no_grad()
def _turned_scores(guidance: PosedPrior, photo: EncodedReference, generator: torch.Generator) -> Float[Tensor, "N"]:
    """How unlikely the view from above, turned by quarters, is as the view from above of another azimuth."""
    denoiser, camera = guidance.denoiser, _cameras(photo)
    above = torch.stack([camera[:, 0], torch.full_like(camera[:, 1], 90.0), camera[:, 2]], dim=1)
    tokens = guidance.tokens(photo, relative_pose(above, camera, guidance.convention))

    def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
        return _predict(guidance, photo, noisy, timestep, tokens, DRAWING_SCALE)

    size = (1, denoiser.latent_channels, *denoiser.latent_size)
    noise = normal_noise(tokens.new_empty(size), generator).expand(len(camera), -1, -1, -1)
    last = torch.full((len(camera),), denoiser.train_steps - 1, device=denoiser.device)
    picture = denoiser.decode(denoise(denoiser, predict, noise, last, DRAWING_STEPS))
    scores = torch.zeros(len(camera), device=denoiser.device)
    for quarter in QUARTERS:
        around = above + above.new_tensor([90.0 * quarter, 0.0, 0.0])
        turned = denoiser.encode(torch.rot90(picture, -quarter, (2, 3)), None)
        pose = relative_pose(around, camera, guidance.convention)
        scores += _errors(guidance, photo, turned, guidance.tokens(photo, pose), generator)
    return scores


def _cameras(photo: EncodedReference) -> Float[Tensor, "N 3"]:
    """The photo's camera at each candidate elevation."""
    camera = photo.camera.repeat(len(CANDIDATES_DEG), 1)
    camera[:, 1] = camera.new_tensor(CANDIDATES_DEG)
    return camera


def _errors(
    guidance: PosedPrior, photo: EncodedReference, latents: Float[Tensor, "N C h w"], tokens: Float[Tensor, "N 1 E"],
    generator: torch.Generator,
) -> Float[Tensor, "N"]:  # fmt: skip
    """Mean squared error of the predicted noise; all candidates get the same noise."""
    denoiser, total = guidance.denoiser, torch.zeros(len(latents), device=latents.device)
    for level in NOISE_LEVELS:
        timestep = torch.full((len(latents),), int(level * denoiser.train_steps), device=latents.device)
        epsilon = normal_noise(latents[:1], generator).expand_as(latents)
        alpha_bar = denoiser.alpha_bar(timestep)
        noisy = add_noise(latents, epsilon, alpha_bar)
        output = _predict(guidance, photo, noisy, timestep, tokens, 1.0)
        total += (denoiser.epsilon(output, noisy, alpha_bar) - epsilon).square().mean(dim=(1, 2, 3))
    return total


def _predict(
    guidance: PosedPrior, photo: EncodedReference, noisy: Float[Tensor, "N C h w"], timestep: Tensor,
    tokens: Float[Tensor, "N 1 E"], scale: float,
) -> Float[Tensor, "N C h w"]:  # fmt: skip
    views = Views(tokens[None], tokens.new_ones(1, len(tokens)))
    return guidance.predict(noisy, timestep, (photo,), views, scale)
