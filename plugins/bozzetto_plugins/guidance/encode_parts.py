"""Encoding of images a few views at a time, for networks whose activations of all views would not fit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def encode_parts(
    encode: Callable[[Tensor, Tensor | None], Tensor],
    image: Float[Tensor, "B 3 H W"],
    noise: Float[Tensor, "B C h w"] | None,
    count: int,
) -> Float[Tensor, "B C h w"]:
    """Return `encode(image, noise)`, computed for `count` views at a time and once more in the backward pass.

    Args:
        encode: treats each view independently, and draws no random numbers.
        count: 0, or at least as many as there are views: all at once, and once.
    """
    if not count or count >= len(image):
        return encode(image, noise)
    noises = [None] * -(-len(image) // count) if noise is None else list(noise.split(count))
    parts = [
        checkpoint(encode, some, of_some, use_reentrant=False, preserve_rng_state=False)
        for some, of_some in zip(image.split(count), noises, strict=True)
    ]
    return torch.cat(parts)
