"""Pictures and files as data of the page, within its size; pictures that are too large are made smaller."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PAGE_BYTES = 13_000_000
"""Most bytes of pictures, video and object on a page, as they are encoded in it."""
SHOWN_PICTURES = 16
"""Most pictures over time."""
SMALL_BYTES = 400_000
"""Size up to which a picture is taken as it is."""
QUALITY = 88
MOST_PIXELS = 64_000_000
"""Pixels of the largest picture that is read."""


@dataclass
class Room:
    """Space that is left on a page."""

    left: int = PAGE_BYTES
    """Bytes, as encoded."""
    refused: list[str] = field(default_factory=list)
    """What found no place or could not be read, one line each."""

    def data(self, path: Path, share: float = 1.0) -> str | None:
        """Return a file in base64; None, with a line in `refused`, if it takes more than a share of what is left."""
        try:
            fits = (path.stat().st_size + 2) // 3 * 4 <= share * self.left
            content = path.read_bytes() if fits else None
        except OSError as error:
            self.refused.append(f"{path.name} cannot be read: {error}")
            return None
        return self._encoded(path.name, content, share)

    def link(self, path: Path, media_type: str, share: float = 1.0) -> str | None:
        """Return a file as a `data:` link; None as in `data`."""
        encoded = self.data(path, share)
        return None if encoded is None else f"data:{media_type};base64,{encoded}"

    def picture(self, path: Path, share: float = 1.0, widest: int = 2048) -> str | None:
        """Return a picture as a `data:` link, as JPEG and smaller if it is large; None as in `data`."""
        try:
            content, media_type = shrunk(path.read_bytes(), widest)
        except (OSError, ValueError) as error:
            self.refused.append(f"{path.name} cannot be shown: {error}")
            return None
        encoded = self._encoded(path.name, content, share)
        return None if encoded is None else f"data:{media_type};base64,{encoded}"

    def _encoded(self, name: str, content: bytes | None, share: float) -> str | None:
        encoded = None if content is None else base64.b64encode(content).decode("ascii")
        if encoded is None or len(encoded) > share * self.left:
            self.refused.append(f"{name} is too large for this page, and lies in the run's folder")
            return None
        self.left -= len(encoded)
        return encoded


def shrunk(content: bytes, widest: int) -> tuple[bytes, str]:
    """Return a picture and its media type: a small PNG as it is, others as JPEG of at most `widest` pixels.

    Raises:
        ValueError: it is damaged, or larger than any picture of a run.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"it has {picture.width} x {picture.height} pixels")
            picture.load()
            if picture.format == "PNG" and len(content) <= SMALL_BYTES and picture.width <= widest:
                return content, "image/png"
            small = picture.convert("RGB")
    except Exception as error:  # of damaged pictures Pillow raises SyntaxError, struct.error, and more
        raise ValueError(f"{type(error).__name__}: {error}") from error
    small.thumbnail((widest, widest * 4))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue(), "image/jpeg"


def evenly(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` items, evenly chosen, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]
