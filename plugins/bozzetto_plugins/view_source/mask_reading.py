"""Foreground mask from a photo's alpha channel, with notices where the intended mask may differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8
from scipy import ndimage

OPAQUE = 128
"""Alpha, of 255, from which a pixel counts as foreground when the object is located."""
VISIBLE = 13
"""Alpha of 5 %; pixels below it count as transparent."""
SOLID = 242
"""Alpha of 95 %; pixels from it on do not count as translucent."""
SPECK_SHARE, SPECKS_SHARE = 0.005, 0.05
"""Maximum share of all opaque pixels of one speck, and of all specks together."""
SPECK_DISTANCE = 0.05
"""Minimum distance of a speck from the bounding box of the rest, as a share of the box's longer side: closer components
barely affect the framing and may belong to the object."""
PIECE_SHARE = 0.05
"""Minimum share of all opaque pixels for a separate component to be reported."""
FILLED_BORDER, FILLED_AREA = 0.5, 0.85
"""Opaque shares of the border, and of the whole image, from which the background seems not to be removed."""
ROUND_AREA = 0.7
"""Opaque share of an image whose four sides are all reached, from which background may remain; a circle has 79 %."""
INVERTED_BORDER, HOLE_SHARE = 0.95, 0.02
"""The mask seems inverted if this share of the border is opaque and holes cover at least that share of all pixels."""
TRANSLUCENT_SHARE = 0.1
SMALL = 32
"""Longer side of the object, in pixels, below which it is reported as small."""
CONTACT, SAME_WIDTH, DEEPER = 0.05, 0.75, 0.03
"""An object counts as cut off at a side if it touches it along this share of its longer side and is hardly wider a bit
deeper inside; an object that only touches, as in a tightly cropped image, widens."""
POOLED_SIDE = 256
"""Maximum side of the downsampled image in which components are separated; gaps of one such pixel are ignored."""


@dataclass(frozen=True)
class Box:
    """Bounding box: rows [top, bottom) and columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def longer(self) -> int:
        """Length of the longer side in pixels."""
        return max(self.bottom - self.top, self.right - self.left)


@dataclass(frozen=True)
class Reading:
    """Foreground mask of a photo with its bounding box and notices."""

    alpha: UInt8[np.ndarray, "H W"]
    """Alpha channel without specks."""
    box: Box
    """Bounding box of the foreground."""
    notices: tuple[str, ...]
    """Notices, each a clause about the photo."""


def read_mask(alpha: UInt8[np.ndarray, "H W"]) -> Reading:
    """Locate the object in an alpha channel with at least one pixel of `OPAQUE`."""
    clean, specks = without_specks(alpha)
    solid = clean >= OPAQUE
    box = box_around(solid)
    notices = []
    if specks:
        notices.append(
            f"{specks} speck{'s' * (specks > 1)} far from the object {'are' if specks > 1 else 'is'} left out"
        )
    filled = _background(solid, box)
    notices += filled or _cut_off(solid, box)
    notices += [*_translucency(clean), *_haze(clean), *_pieces(solid)]
    if box.longer < SMALL:
        size = f"{box.right - box.left} x {box.bottom - box.top}"
        notices.append(f"the object is only {size} pixels large: finer detail cannot be reconstructed")
    return Reading(clean, box, tuple(notices))


def box_around(solid: Bool[np.ndarray, "H W"]) -> Box:
    """Return the bounding box of the true pixels, of which there is at least one."""
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def without_specks(alpha: UInt8[np.ndarray, "H W"]) -> tuple[UInt8[np.ndarray, "H W"], int]:
    """Return the alpha channel without small components far from the object, and their number."""
    label, count = ndimage.label(alpha >= OPAQUE, structure=np.ones((3, 3)))
    if count < 2:
        return alpha, 0
    sizes = np.bincount(label.reshape(-1), minlength=count + 1)[1:]
    small = sizes < SPECK_SHARE * sizes.sum()
    if small.all() or not small.any():
        return alpha, 0
    boxes = np.array([(r.start, r.stop, c.start, c.stop) for r, c in ndimage.find_objects(label)])
    main = boxes[~small]
    low, high = main[:, [0, 2]].min(0), main[:, [1, 3]].max(0)
    margin = SPECK_DISTANCE * (high - low).max()
    beside = (boxes[:, [1, 3]] <= low - margin).any(1) | (boxes[:, [0, 2]] >= high + margin).any(1)
    specks = small & beside
    if not specks.any() or sizes[specks].sum() > SPECKS_SHARE * sizes.sum():
        return alpha, 0
    gone = ndimage.binary_dilation(np.concatenate([[False], specks])[label], iterations=2)  # including their soft edges
    return np.where(gone, np.uint8(0), alpha), int(specks.sum())


def _background(solid: Bool[np.ndarray, "H W"], box: Box) -> list[str]:
    """Return a notice if the background seems not to be removed, or the mask to be inverted."""
    border, area = _border(solid).mean(), solid.mean()
    if border >= INVERTED_BORDER and _holes(solid) >= HOLE_SHARE:
        return [
            "what is opaque surrounds what is transparent: the opacity seems to be inverted, and the surroundings are "
            "taken as the object"
        ]
    if border >= FILLED_BORDER or area >= FILLED_AREA:
        return [
            f"what is opaque fills {area:.0%} of the picture and {border:.0%} of its border: the background seems to "
            "be there still, and is taken as part of the object. Cut the object out"
        ]
    if area >= ROUND_AREA and (box.bottom - box.top, box.right - box.left) == solid.shape:
        return [
            f"what is opaque reaches all four sides of the picture and fills {area:.0%} of it: if only its corners "
            "were cut off, the background is there still, and is taken as part of the object"
        ]
    return []


def _holes(solid: Bool[np.ndarray, "H W"]) -> float:
    """Return the share of all pixels that are transparent and not connected to the border."""
    return float((ndimage.binary_fill_holes(solid) & ~solid).mean())


def _cut_off(solid: Bool[np.ndarray, "H W"], box: Box) -> list[str]:
    """Return a notice if the object seems to be cut off at sides of the image."""
    deeper = max(1, round(DEEPER * box.longer))
    sides = {"top": solid, "bottom": solid[::-1], "left": solid.T, "right": solid.T[::-1]}
    cut = []
    for name, lines in sides.items():
        contact, inside = int(lines[0].sum()), int(lines[min(deeper, len(lines) - 1)].sum())
        if contact >= CONTACT * box.longer and contact >= SAME_WIDTH * inside:
            cut.append(name)
    if not cut:
        return []
    where = cut[0] if len(cut) == 1 else f"{', '.join(cut[:-1])} and {cut[-1]}"
    return [f"the object reaches the border of the picture ({where}): if it is cut off there, so is the result"]


def _translucency(alpha: UInt8[np.ndarray, "H W"]) -> list[str]:
    """Return a notice if the object, except its edge, is translucent."""
    visible = alpha >= VISIBLE + _background_opacity(alpha)
    rim = max(1, round(0.005 * box_around(visible).longer))
    inside = alpha[ndimage.binary_erosion(visible, iterations=rim)]
    if not len(inside):
        return []
    typical, share = float(np.median(inside)) / 255.0, float((inside < SOLID).mean())
    if typical < SOLID / 255.0:
        return [f"the object is only {typical:.0%} opaque: it is reconstructed as translucent"]
    if share > TRANSLUCENT_SHARE:
        return [f"{share:.0%} of the object is translucent, and is reconstructed so"]
    return []


def _background_opacity(alpha: UInt8[np.ndarray, "H W"]) -> int:
    """Return the median alpha along the border if it counts as background, of 255; else 0."""
    typical = int(np.median(_border(alpha)))
    return typical if typical < OPAQUE else 0


def _haze(alpha: UInt8[np.ndarray, "H W"]) -> list[str]:
    typical = _background_opacity(alpha)
    if typical < VISIBLE:
        return []
    return [f"the background is {typical / 255.0:.0%} opaque, not clear: it is reconstructed as haze"]


def _border(values: Shaped[np.ndarray, "H W"]) -> Shaped[np.ndarray, "B"]:
    """Return the outermost pixels."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _pieces(solid: Bool[np.ndarray, "H W"]) -> list[str]:
    """Return a notice if the foreground has several large components."""
    step = -(-max(solid.shape) // POOLED_SIDE)
    height, width = (-(-side // step) for side in solid.shape)
    padded = np.zeros((height * step, width * step), dtype=bool)
    padded[: solid.shape[0], : solid.shape[1]] = solid
    filled: Int[np.ndarray, "h w"] = padded.reshape(height, step, width, step).sum((1, 3))
    label, count = ndimage.label(ndimage.binary_dilation(filled > 0), structure=np.ones((3, 3)))
    shares = np.sort(np.bincount(label.reshape(-1), filled.reshape(-1), minlength=count + 1)[1:])[::-1] / filled.sum()
    shares = shares[shares >= PIECE_SHARE]
    if len(shares) < 2:
        return []
    listed = ", ".join(f"{share:.0%}" for share in shares[:5])
    return [f"what is opaque lies in {len(shares)} separate places ({listed}): they are taken as one object"]
