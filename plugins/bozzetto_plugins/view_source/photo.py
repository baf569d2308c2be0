"""Loading of a photo of an object: matting, framing, depth and normal maps, notices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy.sparse import csr_matrix

from bozzetto.errors import ConfigError
from bozzetto_plugins.view_source.config import SingleImageConfig
from bozzetto_plugins.view_source.mask_reading import OPAQUE, Box, read_mask
from bozzetto_plugins.view_source.matting import matte
from bozzetto_plugins.view_source.picture_file import LEAST_SIDE, read_picture

CENTRED, WELL_SIZED = 0.05, (0.75, 1.2)
"""`framing: auto` keeps a photo whose object is at most this share off-centre, and whose longer side relative to the
target size is within this range."""
LEAST_MASK = 1e-4
"""Mask value below which an averaged pixel has no defined colour."""
ONE_COLOUR = 4
"""Maximum range of the object's channels, of 255, at which the photo counts as a silhouette."""


@dataclass(frozen=True)
class Photo:
    """Square image of an object with mask and optional maps."""

    image: Float[np.ndarray, "S S 3"]
    """RGB in [0, 1]; undefined where `mask` is 0."""
    mask: Float[np.ndarray, "S S 1"]
    depth: Float[np.ndarray, "S S 1"] | None
    """Depth in [0, 1]; larger is farther."""
    normal: Float[np.ndarray, "S S 3"] | None
    """Unit normals in the camera frame."""
    notices: tuple[str, ...] = ()
    """Notices of ambiguous inputs, sentences without full stop."""


@dataclass(frozen=True)
class Window:
    """Square crop window of an image, in pixels; may extend beyond the image."""

    left: int
    top: int
    side: int

    def cut(self, plane: Float[np.ndarray, "H W"], size: int) -> Float[np.ndarray, "S S"]:
        """Crop a plane, zero-padded outside, and downsample it by area averaging to `size` pixels a side.

        Memory at full size is limited to the part inside the image, however large the window is.
        """
        rows = _shares(self.top, plane.shape[0], self.side / size, size)
        columns = _shares(self.left, plane.shape[1], self.side / size, size)
        return np.ascontiguousarray((columns @ (rows @ plane).T).T, dtype=np.float32)


def _shares(start: int, length: int, per_pixel: float, size: int) -> csr_matrix:
    """Return the area-averaging weights along one axis, "size length": window pixels by image pixels.

    Args:
        start: offset of the window in the image.
        per_pixel: image pixels per window pixel, at least 1.
    """
    source = np.arange(length)
    low, high = source - start, source - start + 1.0
    first = np.floor(low / per_pixel)
    rows, columns, shares = [], [], []
    for target in (first, first + 1.0):  # an image pixel overlaps at most two window pixels
        overlap = np.minimum((target + 1.0) * per_pixel, high) - np.maximum(target * per_pixel, low)
        inside = (overlap > 0.0) & (target >= 0.0) & (target < size)
        rows.append(target[inside].astype(np.int64))
        columns.append(source[inside])
        shares.append((overlap[inside] / per_pixel).astype(np.float32))
    entries = np.concatenate(shares), (np.concatenate(rows), np.concatenate(columns))
    return csr_matrix(entries, shape=(size, length))


def load_photo(config: SingleImageConfig) -> Photo:
    """Load the configured photo, matted, framed, and at most `max_side` pixels a side.

    Raises:
        ConfigError: the photo or a map cannot be used; says why and what to do.
    """
    path = Path(config.image)
    picture = read_picture(path, "image")
    rgba = _with_alpha(picture.image, config)
    reading = read_mask(rgba[..., 3])
    notices = [*picture.notices, *(f"{path.name}: {notice}" for notice in reading.notices)]
    if _one_colour(rgba[..., :3], reading.alpha >= OPAQUE):
        notices.append(f"{path.name}: the object is of one colour, a silhouette: its interior has no detail")
    window = choose_window(reading.box, reading.alpha.shape, config)
    size = min(window.side, config.max_side)
    weight = reading.alpha.astype(np.float32) / np.float32(255.0)
    mask = window.cut(weight, size).clip(0.0, 1.0)
    depth = normal = None
    if config.depth is not None:
        depth = _depth(path.parent / config.depth, config, picture.size)
        if np.ptp(depth[reading.alpha >= OPAQUE]) == 0.0:
            notices.append(f"{config.depth}: the depth map is the same all over the object: it has no information")
        depth = _cut_weighted([depth], weight, mask, window)
    if config.normal is not None:
        channels = _normals(path.parent / config.normal, picture.size)
        normal = _cut_weighted(channels, weight, mask, window)
        normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    image = _cut_weighted((_unit(rgba[..., channel]) for channel in range(3)), weight, mask, window)
    return Photo(image, mask[..., None], depth, normal, tuple(notices))


def _cut_weighted(
    planes: Iterable[Float[np.ndarray, "H W"]],
    weight: Float[np.ndarray, "H W"],
    mask: Float[np.ndarray, "S S"],
    window: Window,
) -> Float[np.ndarray, "S S C"]:
    """Crop planes to a window; when downsampling, pixels are weighted by alpha, as in `resize_masked`."""
    if len(mask) == window.side:
        return np.stack([window.cut(plane, window.side) for plane in planes], -1)
    least = np.maximum(mask, LEAST_MASK)
    return np.stack([window.cut(plane * weight, len(mask)) / least for plane in planes], -1)


def _unit(values: UInt8[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    return values.astype(np.float32) / np.float32(255.0)


def _opacities(image: Image.Image) -> tuple[int, int]:
    """The least and the largest opacity of an RGBA picture, of 255."""
    alpha = np.asarray(image.getchannel("A"))
    return int(alpha.min()), int(alpha.max())


def _with_alpha(image: Image.Image, config: SingleImageConfig) -> UInt8[np.ndarray, "H W 4"]:
    """Return the image with an alpha channel that separates object from background."""
    least, most = _opacities(image) if image.mode == "RGBA" else (255, 255)
    if least >= OPAQUE:
        why = "has no transparency"
        if least < 255:
            why = f"has transparency that cuts nothing out: every pixel is at least {100 * least // 255} % opaque"
        if config.matting == "off":
            raise ConfigError(
                f"image: {config.image} {why}, so object and background cannot be separated. Cut the object out and "
                f"save it as PNG, or let matting do it: matting=auto."
            )
        image = matte(image.convert("RGB"), config.image, why)
        _, most = _opacities(image)
    pixels = np.asarray(image)
    opaque = int((pixels[..., 3] >= OPAQUE).sum())
    if opaque < LEAST_SIDE:
        raise ConfigError(
            f"image: {config.image} is empty: hardly a pixel of it is opaque ({opaque} of {pixels[..., 3].size} are at "
            f"least half opaque, the most opaque is so to {most / 255:.0%}). Cut the object out again."
        )
    return pixels


def _one_colour(rgb: UInt8[np.ndarray, "H W 3"], solid: Bool[np.ndarray, "H W"]) -> bool:
    return all(np.ptp(rgb[..., channel][solid]) <= ONE_COLOUR for channel in range(3))


def choose_window(box: Box, shape: tuple[int, ...], config: SingleImageConfig) -> Window:
    """Return the square crop window for an image of `shape` (height, width) with the object in `box`."""
    height, width = shape
    middle_x, middle_y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    square = max(height, width)
    kept = Window((width - square) // 2, (height - square) // 2, square)
    centred = max(abs(middle_x - width / 2), abs(middle_y - height / 2)) <= CENTRED * square
    size = box.longer / square / config.object_fraction
    touches = box.top == 0 or box.left == 0 or box.bottom == height or box.right == width
    lies_well = centred and WELL_SIZED[0] <= size <= WELL_SIZED[1] and not touches
    if config.framing == "keep" or (config.framing == "auto" and lies_well):
        return kept
    side = round(box.longer / config.object_fraction)
    return Window(round(middle_x - side / 2), round(middle_y - side / 2), side)


def _depth(file: Path, config: SingleImageConfig, size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """Read a depth map with values in [0, 1]; larger is farther."""
    values = _unit(np.asarray(_read_map(file, "depth", size).convert("L")))
    return 1.0 - values if config.depth_near_is == "bright" else values


def _normals(file: Path, size: tuple[int, int]) -> list[Float[np.ndarray, "H W"]]:
    """Read the three components of unit normals."""
    pixels = np.asarray(_read_map(file, "normal", size).convert("RGB"))
    channels = [2.0 * _unit(pixels[..., channel]) - 1.0 for channel in range(3)]
    length = np.maximum(np.sqrt(sum(channel * channel for channel in channels)), 1e-6)
    return [channel / length for channel in channels]


def _read_map(file: Path, field: str, size: tuple[int, int]) -> Image.Image:
    """Read a map and check that it has the photo's size."""
    picture = read_picture(file, field)
    if picture.size != size:
        raise ConfigError(f"{field}: {file} has {picture.size} pixels, the photo {size}. They must be of one size.")
    return picture.image
