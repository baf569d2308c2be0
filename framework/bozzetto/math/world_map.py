"""Noise of views that moves with the object: windows on one map of noise over azimuth and elevation.

The world map of Flow Score Distillation (Yan et al. 2024, arXiv:2405.10988). A view reads as many cells as it has
pixels, one each, so its noise is white and of unit variance whatever the field of view; interpolated cells would have
less variance. Cameras that differ by an angle read the same cells, moved as the surface of a sphere that fills the view
moves: to the left as the azimuth increases, down as the elevation does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Blend", "blend_at", "map_size", "read_windows"]


@dataclass(frozen=True)
class Blend:
    """Weights of the maps of two epochs, whose squares sum to 1."""

    epoch: int
    now: float
    """Weight of the map of `epoch`."""
    next: float
    """Weight of the map of the epoch after it."""


def map_size(height: int, width: int, window_deg: float) -> tuple[int, int]:
    """Return rows and columns of a map: a turn of azimuth across, half a turn of elevation and one window down.

    Args:
        height: of the windows, in pixels.
        window_deg: angle that a window spans on the map, in (0, 360]; the authors' code uses 180.
    """
    return height + round(180.0 / window_deg * height), round(360.0 / window_deg * width)


def read_windows(
    cells: Float[Tensor, "C rows columns"],
    azimuth_deg: Float[Tensor, "B"],
    elevation_deg: Float[Tensor, "B"],
    height: int,
    width: int,
) -> Float[Tensor, "B C {height} {width}"]:
    """Read the window of each camera at whole cells, from a map of `map_size`; periodic across.

    Raises:
        ValueError: the map is smaller than a window.
    """
    _, rows, columns = cells.shape
    if rows < height or columns < width:
        raise ValueError(f"a map of {rows} x {columns} cells is smaller than a window of {height} x {width}")
    top = ((90.0 - elevation_deg) / 180.0 * (rows - height)).round().long()
    left = (azimuth_deg / 360.0 * columns).round().long()
    row = top[:, None] + torch.arange(height, device=top.device)
    column = (left[:, None] + torch.arange(width, device=top.device)) % columns
    return cells[:, row[:, :, None], column[:, None, :]].transpose(0, 1)


def blend_at(step: int, refresh_steps: int) -> Blend:
    """Return how the maps of neighbouring epochs of `refresh_steps` are blended at a step; 0: the first map, always.

    With weights `cos a` and `sin a`, a growing from 0 to pi / 2 in an epoch, the blend of unit noises is unit noise. In
    one epoch, blends k steps apart have the correlation `cos(pi k / (2 refresh_steps))`; two epochs apart they have
    none. It stands for the refresh `sqrt(1 - gamma) old + sqrt(gamma) new` of Consistent Flow Distillation (Yan et al.
    2025, arXiv:2501.05445), whose correlation is `(1 - gamma)^(k / 2)`, and unlike it needs no history.
    """
    if refresh_steps == 0:
        return Blend(0, 1.0, 0.0)
    epoch, since = divmod(step, refresh_steps)
    angle = 0.5 * math.pi * since / refresh_steps
    return Blend(epoch, math.cos(angle), math.sin(angle))
