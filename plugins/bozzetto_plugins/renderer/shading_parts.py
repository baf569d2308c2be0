"""Shading of samples a part at a time, for scenes whose activations for all samples would not fit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Shaded = tuple[Tensor, ...]
"""Values of samples, one row each."""


def shade_parts(
    shade: Callable[[Tensor, Tensor], Shaded], points: Float[Tensor, "S 3"], ray: Int[Tensor, "S"], count: int
) -> Shaded:
    """Return `shade(points, ray)`, computed for `count` samples at a time and once more in the backward pass.

    Only what comes out is kept for the backward pass, besides the points.

    Args:
        shade: treats each sample independently, and draws no random numbers.
        count: 0, or at least as many as there are samples: all at once, and once.
    """
    if not count or count >= len(points):
        return shade(points, ray)
    parts = [
        checkpoint(shade, some, of_some, use_reentrant=False, preserve_rng_state=False)
        for some, of_some in zip(points.split(count), ray.split(count), strict=True)
    ]
    return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))
