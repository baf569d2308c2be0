"""Decoding of image files: allowed formats only, in bounded memory, upright."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from bozzetto.errors import ConfigError
from bozzetto_plugins.view_source.formats import READ, SNIFFED, is_heif, not_read

MOST_PIXELS = 50_000_000
"""Maximum number of pixels; larger images are not decoded, because a file of a few kilobytes can claim any size."""
MOST_BYTES = 300_000_000
"""Maximum file size, bytes: uncompressed, `MOST_PIXELS` of four bytes take 200 MB."""
WORKING_PIXELS = 8_000_000
"""Larger images are downsampled while reading, by averaging whole pixels; views have at most half a million."""
LEAST_SIDE = 32
BAND_ROWS = 256
"""Rows converted at a time."""
ORIENTATION = 0x0112
"""EXIF tag of the camera's orientation."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""Transposition that makes an image upright, by EXIF orientation."""
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")
"""Pillow modes that can be converted to RGB without a colour profile."""


@dataclass(frozen=True)
class Picture:
    """Decoded image, upright, 8 bits per channel."""

    image: Image.Image
    """`RGB`, or `RGBA` if the file has transparency; at most `WORKING_PIXELS`."""
    size: tuple[int, int]
    """Width and height in the file, upright; `image` may be smaller."""
    notices: tuple[str, ...] = ()

    @property
    def transparent(self) -> bool:
        """True if the file has an alpha channel, which may be opaque everywhere."""
        return self.image.mode == "RGBA"


def read_picture(path: Path, field: str) -> Picture:
    """Decode an image, downsampled to at most `WORKING_PIXELS`.

    Raises:
        ConfigError: the file does not exist, is not of a supported format, is damaged, too large, too small, or has an
            unsupported colour mode; the message starts with `field`.
    """
    head = _head(path, field)
    notices: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings are covered by the checks here
            with _opened(path, field, head) as opened:
                _check_header(opened, path, field)
                if getattr(opened, "is_animated", False) and opened.format in ("PNG", "WEBP"):
                    notices.append(f"{path.name} is animated: its first picture is used")
                turn = None if is_heif(head) else _turn(opened, path, notices)
                width, height = opened.size
                image = _reduced(opened)
    except Image.DecompressionBombError as error:
        raise ConfigError(f"{field}: {path} has too many pixels: {str(error).rstrip('.')}. Make it smaller.") from error
    except UnidentifiedImageError as error:
        raise ConfigError(_not_a_picture(path, field, head)) from error
    except ConfigError:
        raise
    except Exception as error:  # Pillow's decoders raise various errors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{field}: {path} is damaged: {reason.rstrip('.')}. Save it again as PNG or JPEG.") from error
    if turn is not None:
        image = image.transpose(turn)
        width, height = (height, width) if turn in _SWAPS else (width, height)
    return Picture(image, (width, height), tuple(notices))


_SWAPS = (TURNS[5], TURNS[6], TURNS[7], TURNS[8])


def _head(path: Path, field: str) -> bytes:
    """Return the leading bytes of a regular file of acceptable size."""
    try:
        if not path.is_file():
            raise ConfigError(f"{field}: {_missing(path)}")
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(SNIFFED)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{field}: {path} cannot be read: {reason}.") from error
    if not head:
        raise ConfigError(f"{field}: {path} is empty, 0 bytes. Copy or save the picture again.")
    if size > MOST_BYTES:
        raise ConfigError(
            f"{field}: {path} has {size / 1e6:.0f} MB; at most {MOST_BYTES / 1e6:.0f} are read. Make it smaller."
        )
    return head


def _missing(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder. Give a picture in it."
    if path.exists():
        return f"{path} is not a regular file. Give a PNG, JPEG or WebP file."
    near = [item.name for item in sorted(path.parent.glob("*.png"))[:5]] if path.parent.is_dir() else []
    return f"there is no file {path}." + (f" Beside it: {', '.join(near)}." if near else "")


@contextmanager
def _opened(path: Path, field: str, head: bytes) -> Iterator[Image.Image]:
    """Open an image with its header read; a HEIC image is decoded, and upright as its container states."""
    if is_heif(head) and importlib.util.find_spec("pillow_heif") is not None:
        import pillow_heif

        container = pillow_heif.open_heif(path)
        width, height = container.size
        _check_size(width, height, path, field)
        yield container.to_pillow()
        return
    if not_read(head, path):
        raise UnidentifiedImageError
    with Image.open(path, formats=READ) as picture:
        yield picture


def _not_a_picture(path: Path, field: str, head: bytes) -> str:
    known = not_read(head, path)
    if known is None:
        return f"{field}: {path} is not a picture, whatever its name says. Give a PNG or JPEG."
    name, cure = known
    return f"{field}: {path} is {name}. {cure}"


def _check_size(width: int, height: int, path: Path, field: str) -> None:
    if width * height > MOST_PIXELS:
        raise ConfigError(
            f"{field}: {path} has {width} x {height} pixels; at most {MOST_PIXELS // 1_000_000} million are read. "
            f"Make it smaller."
        )
    if min(width, height) < LEAST_SIDE:
        raise ConfigError(f"{field}: {path} has {width} x {height} pixels; {LEAST_SIDE} a side are the least.")


def _check_header(picture: Image.Image, path: Path, field: str) -> None:
    _check_size(picture.width, picture.height, path, field)
    if picture.mode == "CMYK":
        raise ConfigError(f"{field}: {path} is in CMYK, the colours of print. Save it as RGB.")
    raw = next((str(tile[3]) for tile in getattr(picture, "tile", None) or ()), "")
    if picture.mode.startswith(("I", "F")) or ";16" in raw:
        raise ConfigError(f"{field}: {path} has more than 8 bits per channel. Save it with 8.")
    if picture.mode not in MODES:
        raise ConfigError(f"{field}: {path} has colours of mode {picture.mode}. Save it as RGB.")


def _turn(picture: Image.Image, path: Path, notices: list[str]) -> Image.Transpose | None:
    """Return the transposition that makes the image upright; None if it is."""
    try:
        orientation: Any = picture.getexif().get(ORIENTATION)
        return TURNS.get(orientation)
    except Exception as error:  # the EXIF parser raises various errors
        reason = " ".join(str(error).split()) or type(error).__name__
        notices.append(f"{path.name} has EXIF data that cannot be read ({reason}): it is taken as upright")
        return None


def _reduced(picture: Image.Image) -> Image.Image:
    """Return RGB or RGBA pixels, at most `WORKING_PIXELS`; averaging is weighted by opacity.

    Rows are converted band by band, so that the decoded image is not held in memory twice.
    """
    factor = 1
    while (picture.width // factor) * (picture.height // factor) > WORKING_PIXELS:
        factor += 1
    if factor > 1 and hasattr(picture, "draft"):
        # Pillow can decode a JPEG at reduced size.
        picture.draft(None, (picture.width // factor, picture.height // factor))
        factor = 1 if picture.width * picture.height <= WORKING_PIXELS else factor
    picture.load()
    transparent = picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    target = "RGBA" if transparent else "RGB"
    if factor == 1:
        return picture.convert(target)
    result = Image.new(target, (-(-picture.width // factor), -(-picture.height // factor)))
    for top in range(0, picture.height, BAND_ROWS * factor):
        bottom = min(top + BAND_ROWS * factor, picture.height)
        band = picture.crop((0, top, picture.width, bottom)).convert(target)
        band = band.convert("RGBa").reduce(factor).convert("RGBA") if transparent else band.reduce(factor)
        result.paste(band, (0, top // factor))
    return result
