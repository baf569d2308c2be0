"""Reading of a photo's opacity as a mask, with notices where something else may have been meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8
from scipy import ndimage

OPAQUE = 128
"""The opacity, of 255, from which on a pixel counts as object where the object's place is looked for."""
VISIBLE = 13
"""5 %: below it a pixel counts as clear."""
SOLID = 242
"""95 %: from it on a pixel counts as not translucent."""
SPECK_SHARE, SPECKS_SHARE = 0.005, 0.05
"""A piece is a speck if it has less than this share of all opaque pixels, and all specks together no more than that."""
SPECK_DISTANCE = 0.05
"""A speck lies farther than this from the box around the rest, as a share of the box's longer side: what lies nearer
moves the frame by less, and may belong to the object."""
PIECE_SHARE = 0.05
"""A separate piece is told from this share of all opaque pixels on."""
FILLED_BORDER, FILLED_AREA = 0.5, 0.85
"""The background seems to be there still if it is opaque along this share of the border, or over this share of all."""
ROUND_AREA = 0.7
"""The background may be there if what is opaque reaches all four sides and fills this share: a circle fills 79 %."""
INVERTED_BORDER, HOLE_SHARE = 0.95, 0.02
"""The opacity seems inverted if nearly all of the border is opaque around holes with this share of all pixels."""
TRANSLUCENT_SHARE = 0.1
SMALL = 32
"""Pixels along an object's longer side below which it is told to be small."""
CONTACT, SAME_WIDTH, DEEPER = 0.05, 0.75, 0.03
"""An object is cut off at a side if it touches it along this share of its longer side, and is hardly wider a bit deeper
inside: what only touches, as in a picture trimmed to the object, widens."""
POOLED_SIDE = 256
"""Pixels a side at which pieces are told apart: gaps of one such pixel separate nothing."""


@dataclass(frozen=True)
class Box:
    """Rows [top, bottom) and columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def longer(self) -> int:
        return max(self.bottom - self.top, self.right - self.left)


@dataclass(frozen=True)
class Reading:
    """A photo's opacity as it is used."""

    alpha: UInt8[np.ndarray, "H W"]
    """Without specks."""
    box: Box
    """Around what counts as object."""
    notices: tuple[str, ...]
    """Each a clause about the photo."""


def read_mask(alpha: UInt8[np.ndarray, "H W"]) -> Reading:
    """Find the object in an opacity of which at least one pixel is `OPAQUE`."""
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
        notices.append(f"the object is only {size} pixels large: nothing finer can be made of it")
    return Reading(clean, box, tuple(notices))


def box_around(solid: Bool[np.ndarray, "H W"]) -> Box:
    """The smallest box around all that is true, of which there is some."""
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def without_specks(alpha: UInt8[np.ndarray, "H W"]) -> tuple[UInt8[np.ndarray, "H W"], int]:
    """The opacity without small pieces far from the object, and how many they were."""
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
    gone = ndimage.binary_dilation(np.concatenate([[False], specks])[label], iterations=2)  # with their soft rims
    return np.where(gone, np.uint8(0), alpha), int(specks.sum())


def _background(solid: Bool[np.ndarray, "H W"], box: Box) -> list[str]:
    """A notice if the background seems to be there still, or to be all there is."""
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
    """Share of all pixels that are transparent and closed off from the border."""
    return float((ndimage.binary_fill_holes(solid) & ~solid).mean())


def _cut_off(solid: Bool[np.ndarray, "H W"], box: Box) -> list[str]:
    """At which sides of the picture the object seems to be cut off."""
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
    return [f"the object reaches the border of the picture ({where}): if it is cut off there, so is what is made of it"]


def _translucency(alpha: UInt8[np.ndarray, "H W"]) -> list[str]:
    """A notice if the object, its rim aside, can be seen through."""
    visible = alpha >= VISIBLE + _background_opacity(alpha)
    rim = max(1, round(0.005 * box_around(visible).longer))
    inside = alpha[ndimage.binary_erosion(visible, iterations=rim)]
    if not len(inside):
        return []
    typical, share = float(np.median(inside)) / 255.0, float((inside < SOLID).mean())
    if typical < SOLID / 255.0:
        return [f"the object is only {typical:.0%} opaque: it is made as translucent as that"]
    if share > TRANSLUCENT_SHARE:
        return [f"{share:.0%} of the object is translucent, and is made so"]
    return []


def _background_opacity(alpha: UInt8[np.ndarray, "H W"]) -> int:
    """The usual opacity along the border if it counts as background, of 255; else 0."""
    typical = int(np.median(_border(alpha)))
    return typical if typical < OPAQUE else 0


def _haze(alpha: UInt8[np.ndarray, "H W"]) -> list[str]:
    typical = _background_opacity(alpha)
    if typical < VISIBLE:
        return []
    return [f"the background is {typical / 255.0:.0%} opaque, not clear: it is made as haze"]


def _border(values: Shaped[np.ndarray, "H W"]) -> Shaped[np.ndarray, "B"]:
    """The outermost pixels."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _pieces(solid: Bool[np.ndarray, "H W"]) -> list[str]:
    """A notice if what is opaque lies in several places."""
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
