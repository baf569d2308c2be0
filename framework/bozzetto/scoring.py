"""What most scores share: from a gradient in latents to a `Guided`, with checks, clipping and debug images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kinds.score import HasLevels, Prior
from bozzetto.math.levels import add_noise_at
from bozzetto.math.score import ClipBy, SdsForm, clip_gradient, require_finite, sds_loss, sds_pair
from bozzetto.math.view_draws import draw_rows
from bozzetto.types import Guided, Rendered

__all__ = ["Pictures", "Predict", "Prediction", "debug_pictures", "denoise", "guided", "normal_noise"]

Pictures = Callable[[], Mapping[str, Float[Tensor, "B H W 3"]]]
"""Function that draws debug images, by name."""


@dataclass(frozen=True)
class Prediction:
    """What a guided prediction says of noisy latents: their noise, and the clean latents."""

    epsilon: Float[Tensor, "B C h w"]
    x0: Float[Tensor, "B C h w"]


Predict = Callable[[Tensor, Tensor], Prediction]
"""Function from noisy latents "B C h w" and timesteps "B" to a prediction."""


def guided(
    prior: Prior,
    rendered: Rendered,
    latents: Float[Tensor, "B C h w"],
    gradient: Float[Tensor, "B C h w"],
    timestep: Int[Tensor, "B"],
    step: int,
    *,
    name: str = "score",
    form: SdsForm = "target",
    clip: float | None = None,
    clip_by: ClipBy = "value",
    pictures: Pictures | None = None,
) -> Guided:
    """Return the loss `name`, whose gradient in the latents is the mean over views of `gradient`; the prior may rest.

    Args:
        gradient: of each view, already weighted by w(t) and `prior.view_weight`.
        form: implementation in autograd, see `bozzetto.math.score.sds_loss`.
        clip: maximum of the gradient, per value or per view; None: not clipped.
        pictures: debug images, e.g. `debug_pictures`.

    Raises:
        NonFiniteError: the image, its latents or the gradient contain NaN or infinity.
    """
    prior.rest()
    _require_finite(prior, rendered.image, latents, gradient, step)
    if clip is not None:
        gradient = clip_gradient(gradient, clip, clip_by)
    return Guided(
        losses={} if form == "backward" else {name: sds_loss(latents, gradient, form)},
        gradients={name: sds_pair(latents, gradient)} if form == "backward" else {},
        timestep=timestep,
        metrics={
            "gradient_norm": gradient.detach().flatten(1).norm(dim=1).mean(),
            "timestep": timestep.float().mean(),
        },
        debug=pictures,
    )


def debug_pictures(
    prior: Prior,
    latents: Float[Tensor, "B C h w"],
    noisy: Float[Tensor, "B C h w"],
    timestep: Int[Tensor, "B"],
    x0: Float[Tensor, "B C h w"],
    predict: Predict,
    steps: int,
) -> Pictures:
    """Return what draws the images of a step: encoded, noisy, denoised in one step, and in `steps` steps if any.

    Args:
        x0: the clean latents of the prediction that the step used.
        predict: predicts again, for the fully denoised image.
    """

    def pictures() -> Mapping[str, Float[Tensor, "B H W 3"]]:
        shown = {"reconstruction": latents.detach(), "noisy": noisy, "denoised-one-step": x0}
        if steps:
            shown["denoised-fully"] = denoise(prior, predict, noisy, timestep, steps)
            prior.rest()
        return {name: prior.decode(value).permute(0, 2, 3, 1) for name, value in shown.items()}

    return pictures


def denoise(
    levels: HasLevels, predict: Predict, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], steps: int
) -> Float[Tensor, "B C h w"]:
    """Denoise in `steps` deterministic steps (DDIM, Song et al. 2020, eq. 12), evenly from each view's own timestep.

    No random number is drawn, so debug images do not affect a run.
    """
    for left in range(steps, 0, -1):
        now, after = timestep * left // steps, timestep * (left - 1) // steps
        prediction = predict(noisy, now)
        noisy = add_noise_at(prediction.x0, prediction.epsilon, levels.level(after))
    return prediction.x0


def normal_noise(like: Float[Tensor, "B C h w"], generator: torch.Generator) -> Float[Tensor, "B C h w"]:
    """Draw unit Gaussian noise of the shape of `like` on the generator's device."""
    shape = like.shape[1:]
    drawn = draw_rows(lambda n, g: torch.randn(n, *shape, generator=g, device=g.device), len(like), generator)
    return drawn.to(like.device)


def _require_finite(prior: Prior, image: Tensor, latents: Tensor, gradient: Tensor, step: int) -> None:
    """Check the gradient, in which every other fault shows; in main memory the others only if that fails."""
    if gradient.is_cpu and bool(torch.isfinite(gradient).all()):
        return
    require_finite(image, "rendered image", step)
    require_finite(latents, f"{prior.name}'s image encoder", step, prior.cure)
    require_finite(gradient, f"{prior.name}'s denoiser", step, prior.cure)
