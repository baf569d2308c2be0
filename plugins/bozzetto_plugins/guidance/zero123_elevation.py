"""Estimation of a photo's elevation from how well the guidance's loss can be minimised.

Models of the `stable-zero123` convention receive the elevation: the correct one makes the photo itself most likely.
Models of the `zero123` convention receive differences only and answer the same for every elevation. But the views that
they predict around, above and below the photo fit together in one shape only for the correct elevation: the same turn
moves points along flat ellipses seen from the side, along circles seen from above. So a coarse volume is fitted to the
predicted views for each candidate, and the remaining errors are compared.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.math.levels import add_noise_at
from bozzetto.math.relative_pose import relative_pose
from bozzetto.scoring import Prediction, denoise, normal_noise
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.coarse_volume import least_errors
from bozzetto_plugins.guidance.zero123_views import EncodedReference, PosedPrior, Views

CANDIDATES_DEG = (-10.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
NOISE_LEVELS = (0.3, 0.5, 0.7)
"""Fractions of the training timesteps at which candidates are scored."""
TURNS_DEG = (0.0, 90.0, 180.0, 270.0)
RISES_DEG = (0.0, 20.0, -20.0)
"""Azimuth and elevation offsets of the predicted views relative to the photo, degrees; all combinations are used."""
DRAWING_STEPS = {"v_prediction": 1, "epsilon": 12}
"""Number of denoising steps by prediction type. One step from pure noise gives the mean of all likely views, which the
loss pulls toward. With noise prediction that step divides its error by nearly zero, so a view is sampled instead."""
PIXELS = 16
"""Side of the predicted views to which a volume is fitted, pixels."""


def estimate_elevation_deg(
    guidance: PosedPrior, photo: EncodedReference, fov_y_rad: Float[Tensor, "1"], generator: torch.Generator
) -> float:
    """Return the most likely elevation in whole degrees, within the range of `CANDIDATES_DEG`."""
    if guidance.convention == "stable-zero123":
        return likeliest_deg(_told_scores(guidance, photo, generator))
    return likeliest_deg(_shape_scores(guidance, photo, fov_y_rad, generator))


def likeliest_deg(scores: Float[Tensor, "N"]) -> float:
    """Return the minimum of the parabola through the lowest score and its neighbours, in whole degrees."""
    best = int(scores.argmin())
    if best in (0, len(scores) - 1):
        return CANDIDATES_DEG[best]
    before, here, after = scores[best - 1 : best + 2].tolist()
    step = CANDIDATES_DEG[best + 1] - CANDIDATES_DEG[best]
    bend = before - 2.0 * here + after
    return float(round(CANDIDATES_DEG[best] + (0.5 * step * (before - after) / bend if bend > 0.0 else 0.0)))


@torch.no_grad()
def _told_scores(guidance: PosedPrior, photo: EncodedReference, generator: torch.Generator) -> Float[Tensor, "N"]:
    """Return the denoising error of the photo itself, for each candidate as its elevation."""
    camera = _cameras(photo)
    tokens = guidance.tokens(photo, relative_pose(camera, camera, guidance.convention))
    latents = (photo.latents * guidance.denoiser.vae.config.scaling_factor).expand(len(camera), -1, -1, -1)
    return _errors(guidance, photo, latents, tokens, generator)


@torch.no_grad()
def _shape_scores(
    guidance: PosedPrior, photo: EncodedReference, fov_y_rad: Float[Tensor, "1"], generator: torch.Generator
) -> Float[Tensor, "N"]:
    """Return the error of the best volume fitted to the predicted views, for each candidate elevation."""
    denoiser = guidance.denoiser
    moves = photo.camera.new_tensor([(turn, rise, 0.0) for rise in RISES_DEG for turn in TURNS_DEG])
    here = photo.camera.expand(len(moves), -1)
    tokens = guidance.tokens(photo, relative_pose(here + moves, here, guidance.convention))

    def predict(noisy: Tensor, timestep: Tensor) -> Prediction:
        return denoiser.prediction_of(_predict(guidance, photo, noisy, timestep, tokens), noisy, timestep)

    size = (1, denoiser.latent_channels, *denoiser.latent_size)
    noise = normal_noise(tokens.new_empty(size), generator).expand(len(moves), -1, -1, -1)
    last = torch.full((len(moves),), denoiser.train_steps - 1, device=denoiser.device)
    latents = denoise(denoiser, predict, noise, last, DRAWING_STEPS[denoiser.prediction])
    latents[0] = photo.latents[0] * denoiser.vae.config.scaling_factor  # neither turn nor rise: the photo itself
    small = torch.nn.functional.adaptive_avg_pool2d(denoiser.decode(latents), PIXELS).permute(0, 2, 3, 1)
    return least_errors(small, [_looking(camera + moves, fov_y_rad) for camera in _cameras(photo)], generator)


def _looking(angles: Float[Tensor, "V 3"], fov_y_rad: Float[Tensor, "1"]) -> Cameras:
    """Return cameras at the given azimuths, elevations and distances, of the predicted views' size."""
    position = spherical_position(*angles.unbind(dim=1))
    c2w = look_at_origin(position)
    return Cameras(c2w, fov_y_rad.to(c2w).expand(len(c2w)), PIXELS, PIXELS)


def _cameras(photo: EncodedReference) -> Float[Tensor, "N 3"]:
    """Return the photo's camera (azimuth, elevation, distance) at each candidate elevation."""
    camera = photo.camera.repeat(len(CANDIDATES_DEG), 1)
    camera[:, 1] = camera.new_tensor(CANDIDATES_DEG)
    return camera


def _errors(
    guidance: PosedPrior, photo: EncodedReference, latents: Float[Tensor, "N C h w"], tokens: Float[Tensor, "N 1 E"],
    generator: torch.Generator,
) -> Float[Tensor, "N"]:  # fmt: skip
    """Return the mean squared error of the predicted noise; all candidates share the same noise."""
    denoiser, total = guidance.denoiser, torch.zeros(len(latents), device=latents.device)
    for level in NOISE_LEVELS:
        timestep = torch.full((len(latents),), int(level * denoiser.train_steps), device=latents.device)
        epsilon = normal_noise(latents[:1], generator).expand_as(latents)
        noisy = add_noise_at(latents, epsilon, denoiser.level(timestep))
        output = _predict(guidance, photo, noisy, timestep, tokens)
        total += (denoiser.epsilon(output, noisy, timestep) - epsilon).square().mean(dim=(1, 2, 3))
    return total


def _predict(
    guidance: PosedPrior, photo: EncodedReference, noisy: Float[Tensor, "N C h w"], timestep: Tensor,
    tokens: Float[Tensor, "N 1 E"],
) -> Float[Tensor, "N C h w"]:  # fmt: skip
    """Return the network's output without classifier-free guidance, which estimates likelihood undistorted."""
    views = Views(tokens[None], tokens.new_ones(1, len(tokens)))
    return guidance.outputs(noisy, timestep, (photo,), views, ["cond"])["cond"]
