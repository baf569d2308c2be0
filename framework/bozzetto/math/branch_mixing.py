"""Linear combinations of three predictions: classifier scores, noise-free scores, guidance by a text and an image.

Scales count as in `guidance.cfg`: 1 is the conditional prediction. All combinations have per-view results.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.guidance import cfg
from bozzetto.math.levels import per_view

__all__ = ["NOISE_FREE_SWITCH", "domain_correction", "mix", "noise_free", "three_way"]

NOISE_FREE_SWITCH = 0.2
"""Fraction of the training timesteps below which the unconditional prediction is the domain correction."""


def mix(
    cond: Float[Tensor, "B C H W"],
    negative: Float[Tensor, "B C H W"],
    null: Float[Tensor, "B C H W"] | None,
    weights: tuple[float, float, float],
) -> Float[Tensor, "B C H W"]:
    """Compute `w_c cond + w_n negative + w_0 null`: prompt, negative prompt, and empty prompt.

    Classifier score distillation is (1, -1, 0) without a reference (Yu et al. 2023, Text-to-3D with Classifier Score
    Distillation). (g, 1 - g, 0) is `cfg` with scale g, bit for bit from g = 1 on: the sum is arranged around `negative`
    for that.

    Raises:
        ValueError: a weight for `null`, which is None.
    """
    of_cond, of_negative, of_null = weights
    mixed = (of_cond + of_negative + of_null) * negative + of_cond * (cond - negative)
    if of_null == 0.0:
        return mixed
    if null is None:
        raise ValueError(f"a weight of {of_null:g} for the empty prompt needs its prediction")
    return mixed + of_null * (null - negative)


def domain_correction(
    null: Float[Tensor, "B C H W"],
    negative: Float[Tensor, "B C H W"],
    fraction: Float[Tensor, "B"],
    switch: float = NOISE_FREE_SWITCH,
) -> Float[Tensor, "B C H W"]:
    """Estimate the direction toward the domain of images (Katzir et al. 2023, Noise-Free Score Distillation, eq. 6).

    `null` where little noise is left, `fraction < switch`; else `null - negative`. Fractions are of the model's number
    of training timesteps, in [0, 1], one per view.
    """
    return torch.where(per_view(fraction < switch), null, null - negative)


def noise_free(
    cond: Float[Tensor, "B C H W"],
    null: Float[Tensor, "B C H W"],
    negative: Float[Tensor, "B C H W"],
    fraction: Float[Tensor, "B"],
    scale: float,
    switch: float = NOISE_FREE_SWITCH,
) -> Float[Tensor, "B C H W"]:
    """Compute `scale (cond - null) + domain_correction`, a score without reference (Katzir et al. 2023, sec. 4)."""
    return scale * (cond - null) + domain_correction(null, negative, fraction, switch)


def three_way(
    cond: Float[Tensor, "B C H W"],
    image: Float[Tensor, "B C H W"],
    uncond: Float[Tensor, "B C H W"],
    scale: float,
    image_scale: float,
) -> Float[Tensor, "B C H W"]:
    """Compute `uncond + image_scale (image - uncond) + scale (cond - image)` (Brooks et al. 2023, InstructPix2Pix).

    `cond` sees text and image, `image` the image alone, `uncond` neither.
    """
    return cfg(image, uncond, image_scale) + scale * (cond - image)
