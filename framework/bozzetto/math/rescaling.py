"""Rescaling of guided predictions, over a view or a group of views, in noise or clean latents; gradients of norm one.

Guidance commutes with every map that is affine in the output; rescaling does not, so its space is part of a method.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from bozzetto.math.guidance import rescale
from bozzetto.math.levels import Level, epsilon_at, x0_at

__all__ = ["RescaleSpace", "normalised", "rescale_group", "rescale_in"]

RescaleSpace = Literal["epsilon", "x0"]


def rescale_group(
    guided: Float[Tensor, "B C H W"], cond: Float[Tensor, "B C H W"], factor: float, views: int = 1
) -> Float[Tensor, "B C H W"]:
    """Rescale each group of `views` consecutive views with one deviation, that of all of its values.

    One view is `guidance.rescale`. MVDream takes the views that it denoises jointly (Shi et al. 2023).

    Raises:
        ValueError: the batch is not a whole number of groups.
    """
    batch, channels, height, width = guided.shape
    if views < 1 or batch % views:
        raise ValueError(f"{batch} views are not a whole number of groups of {views}")
    joint = (batch // views, views * channels, height, width)
    return rescale(guided.reshape(joint), cond.reshape(joint), factor).reshape(guided.shape)


def rescale_in(
    space: RescaleSpace,
    guided: Float[Tensor, "B C H W"],
    cond: Float[Tensor, "B C H W"],
    noisy: Float[Tensor, "B C H W"],
    level: Level,
    factor: float,
    views: int = 1,
) -> Float[Tensor, "B C H W"]:
    """Rescale predicted noise, as noise or as the clean latents that it stands for, and return noise.

    With x0 of each prediction, `x0 (1 + factor (std(x0_cond) / std(x0) - 1))` (Shi et al. 2023, MVDream). A `factor` of
    0 changes no bit.
    """
    if factor == 0.0:
        return guided
    if space == "epsilon":
        return rescale_group(guided, cond, factor, views)
    x0, of_cond = (x0_at("epsilon", value, noisy, level) for value in (guided, cond))
    return epsilon_at("x0", rescale_group(x0, of_cond, factor, views), noisy, level)


def normalised(gradient: Float[Tensor, "B C H W"], floor: float = 1e-8) -> Float[Tensor, "B C H W"]:
    """Divide each view's gradient by its L2 norm plus `floor`, so that views and levels of noise count alike."""
    norm: Tensor = gradient.flatten(1).norm(dim=1)[:, None, None, None]
    return gradient / (norm + floor)
