"""Comparison of masks, and softness of silhouettes."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["SOLID", "edge_band", "edge_softness", "overlap"]

SOLID = 0.5
"""Minimum opacity of an object pixel."""


def overlap(a: Bool[Tensor, "*shape"], b: Bool[Tensor, "*shape"]) -> float:
    """Compute intersection over union, in [0, 1]; 1 for two empty masks."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def edge_band(solid: Bool[Tensor, "B H W"], distance: int) -> Bool[Tensor, "B H W"]:
    """Return pixels with both object and background at most `distance` pixels away, along rows and columns."""
    mask = solid[:, None].float()
    side = 2 * distance + 1
    grown = torch.nn.functional.max_pool2d(mask, side, stride=1, padding=distance)
    shrunk = -torch.nn.functional.max_pool2d(-mask, side, stride=1, padding=distance)
    return (grown > shrunk)[:, 0]


def edge_softness(opacity: Float[Tensor, "B H W 1"], distance: int = 3) -> float:
    """Compute the mean of min(opacity, 1 - opacity) over pixels within `distance` of the silhouette; 0 is a sharp edge.

    In [0, 1/2]. A straight edge smoothed over one pixel gives at most 1 / (4 * distance); translucent fog gives much
    more. 0 without a silhouette.
    """
    picture = opacity[..., 0].detach()
    band = edge_band(picture >= SOLID, distance)
    if not bool(band.any()):
        return 0.0
    return float(torch.minimum(picture, 1.0 - picture).clamp(min=0.0)[band].mean())
