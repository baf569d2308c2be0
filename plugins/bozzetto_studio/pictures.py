"""Small versions of the pictures of a run. Imports no torch."""

from __future__ import annotations

import functools
import io
from pathlib import Path

from bozzetto.errors import UserError

ROWS = 3
"""Rows of a validation image: colours, normals, opacity."""
MOST_PIXELS = 64_000_000
"""Pixels of the largest picture that is read."""


@functools.lru_cache(maxsize=512)
def first_row(path: Path, changed_ns: int, views: int) -> bytes:
    """Return the colours of the first views of a validation image, or of a contact sheet, as JPEG.

    Args:
        changed_ns: when the file was last written, so that a newer one is read anew.

    Raises:
        UserError: it is damaged, or larger than any picture of a run.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"it has {picture.width} x {picture.height} pixels")
            side = max(1, picture.height // ROWS)
            small = picture.convert("RGB").crop((0, 0, min(picture.width, views * side), side))
    except Exception as error:  # of damaged pictures Pillow raises SyntaxError, struct.error, and more
        raise UserError(f"{path.name} cannot be shown: {type(error).__name__}: {error}") from error
    small.thumbnail((views * 256, 256))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return stream.getvalue()
