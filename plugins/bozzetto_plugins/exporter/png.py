"""PNG encoding of images."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


def to_bytes(picture: Float[Tensor, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Convert values in [0, 1] to integers from 0 to 255, rounded."""
    return (picture.detach().cpu().clamp(0.0, 1.0) * 255.0).round().byte().numpy()


def png_bytes(picture: Float[Tensor, "H W 3"]) -> bytes:
    """Return the content of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(to_bytes(picture)).save(stream, "PNG", optimize=False)
    return stream.getvalue()
