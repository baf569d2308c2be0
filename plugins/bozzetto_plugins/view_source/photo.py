"""Reading a photo of an object: checks, matting, framing."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from bozzetto.errors import ConfigError
from bozzetto_plugins.view_source.config import SingleImageConfig
from bozzetto_plugins.view_source.matting import matte

MOST_PIXELS = 50_000_000
"""A picture with more is not decoded: a file of a few kilobytes can claim any size."""
LEAST_SIDE = 32
OPAQUE = 0.5
"""From this opacity on a pixel counts as object where the object's place is looked for."""
CENTRED, WELL_SIZED = 0.05, (0.75, 1.2)
"""`framing: auto` keeps a photo whose object lies this near to the middle, and whose longer side is so large a share of
what it would be made."""


@dataclass(frozen=True)
class Photo:
    """A square picture of an object, and what is known of it."""

    image: Float[np.ndarray, "S S 3"]
    """RGB in [0, 1], without meaning where `mask` is 0."""
    mask: Float[np.ndarray, "S S 1"]
    depth: Float[np.ndarray, "S S 1"] | None
    """Larger is farther."""
    normal: Float[np.ndarray, "S S 3"] | None
    """Unit, in the camera's frame."""


@dataclass(frozen=True)
class Window:
    """A square cut out of a picture, which it may overhang; pixels."""

    left: int
    top: int
    side: int

    def cut(self, picture: Float[np.ndarray, "H W C"]) -> Float[np.ndarray, "S S C"]:
        """What is inside, zeros where there is nothing."""
        height, width = picture.shape[:2]
        result = np.zeros((self.side, self.side, picture.shape[2]), picture.dtype)
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + self.side, height), min(self.left + self.side, width)
        result[top - self.top : bottom - self.top, left - self.left : right - self.left] = picture[
            top:bottom, left:right
        ]
        return result


def load_photo(config: SingleImageConfig) -> Photo:
    """The photo that a config names, cut out and framed.

    Raises:
        ConfigError: the photo or a map cannot be used; says why and what to do.
    """
    path = Path(config.image)
    picture = read_picture(path, "image")
    rgba = _with_alpha(picture, config)
    pixels = rgba.astype(np.float32) / 255.0
    window = choose_window(pixels[..., 3], config)
    depth = normal = None
    if config.depth is not None:
        depth = _read_map(path.parent / config.depth, "depth", "L", picture.size)
        depth = window.cut(1.0 - depth if config.depth_near_is == "bright" else depth)
    if config.normal is not None:
        normal = 2.0 * _read_map(path.parent / config.normal, "normal", "RGB", picture.size) - 1.0
        normal = window.cut(normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6))
    framed = window.cut(pixels)
    return Photo(framed[..., :3], framed[..., 3:], depth, normal)


def read_picture(path: Path, field: str) -> Image.Image:
    """A decoded picture, upright, of 8 bits per channel.

    Raises:
        ConfigError: the message starts with `field`.
    """
    if not path.is_file():
        near = [item.name for item in sorted(path.parent.glob("*.png"))[:5]] if path.parent.is_dir() else []
        beside = f" Beside it: {', '.join(near)}." if near else ""
        raise ConfigError(f"{field}: there is no file {path}.{beside}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower, and an error
            with Image.open(path) as opened:
                _check_header(opened, path, field)
                opened.load()
                return ImageOps.exif_transpose(opened)
    except Image.DecompressionBombError as error:
        raise ConfigError(f"{field}: {path} has too many pixels: {error}. Make it smaller.") from error
    except UnidentifiedImageError as error:
        raise ConfigError(f"{field}: {path} is not a picture, whatever its name says. Give a PNG or JPEG.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{field}: {path} is damaged: {error}.") from error


def _check_header(picture: Image.Image, path: Path, field: str) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise ConfigError(
            f"{field}: {path} has {width} x {height} pixels; at most {MOST_PIXELS // 1_000_000} million are read. "
            f"Make it smaller."
        )
    if min(width, height) < LEAST_SIDE:
        raise ConfigError(f"{field}: {path} has {width} x {height} pixels; {LEAST_SIDE} a side are the least.")
    if picture.mode == "CMYK":
        raise ConfigError(f"{field}: {path} is in CMYK, the colours of print. Save it as RGB.")
    raw = next((str(tile[3]) for tile in picture.tile or ()), "")
    if picture.mode.startswith(("I", "F")) or ";16" in raw:
        raise ConfigError(f"{field}: {path} has more than 8 bits per channel. Save it with 8.")


def _with_alpha(picture: Image.Image, config: SingleImageConfig) -> UInt8[np.ndarray, "H W 4"]:
    """The picture with an opacity that tells object from background."""
    transparent = picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    rgba = picture.convert("RGBA")
    if not transparent or rgba.getextrema()[3][0] == 255:
        if config.matting == "off":
            raise ConfigError(
                f"image: {config.image} has no transparency, so nothing tells object from background. Cut the object "
                f"out and save it as PNG, or let matting do it: matting=auto."
            )
        rgba = matte(picture.convert("RGB"), config.image)
    pixels = np.asarray(rgba)
    if (pixels[..., 3] >= 255 * OPAQUE).sum() < LEAST_SIDE:
        raise ConfigError(f"image: {config.image} is empty: hardly a pixel of it is opaque. Cut the object out again.")
    return pixels


def choose_window(alpha: Float[np.ndarray, "H W"], config: SingleImageConfig) -> Window:
    """Which square of the picture is used."""
    height, width = alpha.shape
    rows, columns = np.nonzero((alpha >= OPAQUE).any(1))[0], np.nonzero((alpha >= OPAQUE).any(0))[0]
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    longer = max(bottom - top, right - left)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    square = max(height, width)
    kept = Window((width - square) // 2, (height - square) // 2, square)
    centred = max(abs(middle_x - width / 2), abs(middle_y - height / 2)) <= CENTRED * square
    size = longer / square / config.object_fraction
    touches = top == 0 or left == 0 or bottom == height or right == width
    lies_well = centred and WELL_SIZED[0] <= size <= WELL_SIZED[1] and not touches
    if config.framing == "keep" or (config.framing == "auto" and lies_well):
        return kept
    side = round(longer / config.object_fraction)
    return Window(round(middle_x - side / 2), round(middle_y - side / 2), side)


def _read_map(file: Path, field: str, mode: str, size: tuple[int, int]) -> Float[np.ndarray, "H W C"]:
    """A depth or normal map with values in [0, 1]."""
    picture = read_picture(file, field)
    if picture.size != size:
        raise ConfigError(f"{field}: {file} has {picture.size} pixels, the photo {size}. They must be of one size.")
    values = np.asarray(picture.convert(mode), np.float32) / 255.0
    return values[..., None] if values.ndim == 2 else values
