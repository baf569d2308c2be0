"""Photos with a foreground mask: undefined colour outside the mask must not leak in when pixels are averaged."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["backdrops", "over", "resize_masked"]

LEAST_MASK = 1e-4
"""Minimum mask value of a pixel with a defined colour."""


def resize_masked(
    image: Float[Tensor, "H W C"], mask: Float[Tensor, "H W 1"], size: tuple[int, int]
) -> tuple[Float[Tensor, "h w C"], Float[Tensor, "h w 1"]]:
    """Resize image and mask bilinearly, antialiased when shrinking; the image is weighted by its mask."""
    if image.shape[:2] == size:
        return image, mask
    planes = torch.cat([image * mask, mask], dim=-1).permute(2, 0, 1)[None]
    shrinks = image.shape[0] > size[0] or image.shape[1] > size[1]
    resized = torch.nn.functional.interpolate(planes, size, mode="bilinear", align_corners=False, antialias=shrinks)
    planes = resized[0].permute(1, 2, 0)
    weight = planes[..., -1:].clamp(0.0, 1.0)
    return planes[..., :-1] / weight.clamp(min=LEAST_MASK), weight


def over(
    image: Float[Tensor, "H W C"], mask: Float[Tensor, "H W 1"], background: float | Float[Tensor, "C"]
) -> Float[Tensor, "H W C"]:
    """Composite the image over a colour, or over a grey in [0, 1]; 1 is white."""
    return image * mask + background * (1.0 - mask)


def backdrops(
    image: Float[Tensor, "B H W C"], opacity: Float[Tensor, "B H W 1"], views_per_group: int
) -> Float[Tensor, "G C"]:
    """Return the mean colour of what is behind each group of composited views; white where nothing of it is seen.

    Pixels are weighted by the fourth power of their transparency, so that the object's blurred edge counts little. The
    colour of a uniform background behind an opaque object is exact.
    """
    weight = (1.0 - opacity).clamp(0.0, 1.0).pow(4).unflatten(0, (-1, views_per_group))
    total = weight.sum(dim=(1, 2, 3))
    mean = (weight * image.unflatten(0, (-1, views_per_group))).sum(dim=(1, 2, 3)) / total.clamp(min=LEAST_MASK)
    return torch.where(total > LEAST_MASK, mean, torch.ones_like(mean))
