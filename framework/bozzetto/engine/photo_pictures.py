"""Images that show how a photo was interpreted: the cropped object and its foreground mask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from bozzetto.engine.system import RunningTask
from bozzetto.files import slug, write_atomically
from bozzetto.types import Reference

SQUARES = 16
"""Squares of the checkerboard along a side."""
LIGHT, DARK = 0.8, 0.6
"""Greys of the checkerboard, in [0, 1]."""


def save_photos(tasks: Sequence[RunningTask], folder: Path) -> list[Path]:
    """Write each task's preprocessed photo: `photo.png`, or `photo-TASK.png` if several tasks have one.

    Returns:
        The files that are new or changed.
    """
    seen = [(task.name, task.reference) for task in tasks if task.reference is not None]
    changed = []
    for name, reference in seen:
        path = folder / ("photo.png" if len(seen) == 1 else f"photo-{slug(name)}.png")
        pixels = picture_of(reference)
        if path.is_file() and np.array_equal(np.asarray(Image.open(path, formats=("PNG",))), pixels):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, partial(Image.fromarray(pixels).save, format="PNG"))
        changed.append(path)
    return changed


def picture_of(reference: Reference) -> UInt8[np.ndarray, "H W2 3"]:
    """Render the object over a checkerboard, with its mask to the right."""
    image, mask = reference.image.detach().cpu().numpy(), reference.mask.detach().cpu().numpy()
    height, width = mask.shape[:2]
    odd = (np.arange(height)[:, None] * SQUARES // height + np.arange(width)[None] * SQUARES // width) % 2
    board = np.where(odd == 0, LIGHT, DARK)[..., None]
    both = np.concatenate([image * mask + board * (1.0 - mask), np.repeat(mask, 3, axis=2)], axis=1)
    return (both.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
