"""Compressed views of a piece: two images of a tenth of the size, for training on another machine."""

from __future__ import annotations

import io

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

ACROSS = 12
"""Number of views side by side."""
SIZE = 128
QUALITY = 60
"""AVIF quality, with full-resolution chroma: errors are below those of a solid of 60 kB."""
LEAST = 1e-3


def packed(targets: UInt8[Tensor, "V S S 9"]) -> tuple[bytes, bytes]:
    """Encode `Views.targets` as AVIF: lit colour and opacity; tone and paintability.

    Raises:
        ValueError: V is not a multiple of `ACROSS`, or S is not `SIZE`.
    """
    if len(targets) % ACROSS or targets.shape[1] != SIZE:
        raise ValueError(f"{len(targets)} views of {targets.shape[1]} pixels; expected {ACROSS} x N of {SIZE}.")
    lit, opacity, takes, _, tone = (targets.float() / 255.0).split([3, 1, 1, 3, 1], dim=-1)
    own, share, lightness = (
        lit / opacity.clamp(min=LEAST),
        takes / opacity.clamp(min=LEAST),
        tone / takes.clamp(min=LEAST),
    )
    return _written(torch.cat([own, opacity], dim=-1)), _written(torch.cat([lightness.expand_as(lit), share], dim=-1))


def unpacked(lit: bytes, tone: bytes) -> UInt8[Tensor, "V S S 9"]:
    """Decode `Views.targets` from the result of `packed`, approximately."""
    surface, paint = _read(lit), _read(tone)
    opacity, takes = surface[..., 3:], paint[..., 3:] * surface[..., 3:]
    under = surface[..., :3] * takes
    channels = torch.cat([surface[..., :3] * opacity, opacity, takes, under, paint[..., :1] * takes], dim=-1)
    return (channels * 255.0).round().to(torch.uint8)


def _written(views: Float[Tensor, "V S S 4"]) -> bytes:
    rows = views.clamp(0.0, 1.0).unflatten(0, (-1, ACROSS)).permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1)
    file = io.BytesIO()
    sheet = Image.fromarray((rows * 255.0).round().to(torch.uint8).numpy(), "RGBA")
    sheet.save(file, "AVIF", quality=QUALITY, subsampling="4:4:4", speed=8)
    return file.getvalue()


def _read(file: bytes) -> Float[Tensor, "V S S 4"]:
    with Image.open(io.BytesIO(file), formats=["AVIF"]) as picture:
        rows = torch.from_numpy(np.array(picture.convert("RGBA"))).float() / 255.0
    return rows.unflatten(0, (-1, SIZE)).unflatten(2, (ACROSS, SIZE)).permute(0, 2, 1, 3, 4).flatten(0, 1)
