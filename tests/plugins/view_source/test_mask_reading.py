"""Tests of photo masks: a notice for each ambiguity, none for a plain photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bozzetto.errors import ConfigError
from bozzetto_plugins.view_source.config import SingleImageConfig
from bozzetto_plugins.view_source.mask_reading import read_mask
from bozzetto_plugins.view_source.photo import load_photo

ROOT = Path(__file__).parents[3]
SIDE = 128


def disc(y: float = 63.5, x: float = 63.5, radius: float = 40.0, opacity: int = 255) -> np.ndarray:
    """Return the opacity of an antialiased disc."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    inside = np.clip(radius + 0.5 - np.hypot(rows - y, columns - x), 0.0, 1.0)
    return (inside * opacity).astype(np.uint8)


def rounded(radius: int) -> np.ndarray:
    picture = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(picture).rounded_rectangle((0, 0, SIDE - 1, SIDE - 1), radius, fill=255)
    return np.asarray(picture)


def with_pixel(alpha: np.ndarray, *places: tuple[int, int]) -> np.ndarray:
    changed = alpha.copy()
    for place in places:
        changed[place] = 255
    return changed


def strip(alpha: np.ndarray) -> np.ndarray:
    """Draw a cut-off handle that reaches the left side."""
    changed = alpha.copy()
    changed[55:72, :63] = 255
    return changed


UNUSUAL = {
    "round corners": (rounded(8), "the background seems to be there still"),
    "very round corners": (rounded(30), "the background seems to be there still"),
    "a circle": (disc(radius=64), "if only its corners were cut off, the background is there still"),
    "inverted": (255 - disc(), "the opacity seems to be inverted"),
    "a stray pixel": (with_pixel(disc(radius=20), (2, 125)), "1 speck far from the object is left out"),
    "stray pixels": (with_pixel(disc(radius=20), (2, 125), (125, 2)), "2 specks far from the object are left out"),
    "tiny": (disc(radius=5), "the object is only 1. x 1. pixels large"),
    "cut at the top": (disc(y=10), r"reaches the border of the picture \(top\)"),
    "cut in a corner": (disc(y=120, x=120, radius=50), r"\(bottom and right\)"),
    "cut handle": (strip(disc()), r"\(left\)"),
    "80 %": (disc(opacity=204), "the object is only 80% opaque"),
    "haze": (np.maximum(disc(), 40), "the background is 16% opaque, not clear"),
    "two": (np.maximum(disc(30, 30, 20), disc(95, 95, 15)), r"in 2 separate places \(64%, 36%\)"),
}


@pytest.mark.parametrize("what", UNUSUAL)
def test_what_may_be_misread_is_told(what: str) -> None:
    alpha, message = UNUSUAL[what]
    notices = read_mask(alpha).notices
    assert len(notices) == 1, notices
    import re

    assert re.search(message, notices[0])


@pytest.mark.parametrize("alpha", [disc(), disc(radius=55), disc(y=50, x=70), np.pad(disc()[23:105, 23:105], 1)])
def test_a_plain_object_needs_no_word(alpha: np.ndarray) -> None:
    assert read_mask(alpha).notices == ()


def test_a_glass_part_is_told() -> None:
    alpha = disc()
    alpha[60:80, 40:90] = 120
    assert read_mask(alpha).notices == ("21% of the object is translucent, and is reconstructed so",)


@pytest.mark.parametrize("photo", ["configs/photos/hamburger.png", "docs/photos/chair.png", "docs/photos/dog.png"])
def test_our_own_photos_need_no_word(photo: str) -> None:
    assert load_photo(SingleImageConfig(str(ROOT / photo))).notices == ()


def test_specks_do_not_shrink_the_object_and_are_gone(tmp_path: Path) -> None:
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    pixels[..., :3] = np.mgrid[0:SIDE, 0:SIDE][0][..., None]
    pixels[..., 3] = disc(radius=20)
    Image.fromarray(pixels).save(tmp_path / "clean.png")
    pixels[2, 125, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "dusty.png")
    clean, dusty = (load_photo(SingleImageConfig(str(tmp_path / name))) for name in ("clean.png", "dusty.png"))
    assert np.array_equal(clean.mask, dusty.mask) and np.array_equal(clean.image, dusty.image)
    assert dusty.notices == ("dusty.png: 1 speck far from the object is left out",)


def test_a_small_part_near_the_object_stays() -> None:
    near = with_pixel(disc(), (63, 106))
    assert read_mask(near).alpha[63, 106] == 255 and read_mask(near).notices == ()


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        (
            np.full((SIDE, SIDE), 254, np.uint8),
            "has transparency that cuts nothing out: every pixel is at least 99 % opaque",
        ),
        (np.full((SIDE, SIDE), 200, np.uint8), "every pixel is at least 78 % opaque"),
        (disc(opacity=100), r"is empty: hardly a pixel .*0 of 16384 .* most opaque is so to 39%"),
        (with_pixel(disc(opacity=0), *((y, x) for y in range(3) for x in range(3))), "is empty.*9 of 16384"),
    ],
)
def test_what_shows_no_object_is_refused(tmp_path: Path, alpha: np.ndarray, message: str) -> None:
    pixels = np.dstack([np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8), alpha])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=f"image: .*{message}"):
        load_photo(SingleImageConfig(str(tmp_path / "a.png"), matting="off"))


def test_a_silhouette_and_a_flat_depth_map_are_told(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([np.zeros((SIDE, SIDE, 3), np.uint8), disc()])).save(tmp_path / "a.png")
    Image.fromarray(np.full((SIDE, SIDE), 90, np.uint8)).save(tmp_path / "depth.png")
    found = load_photo(SingleImageConfig(str(tmp_path / "a.png"), depth="depth.png"))
    assert found.notices == (
        "a.png: the object is of one colour, a silhouette: its interior has no detail",
        "depth.png: the depth map is the same all over the object: it has no information",
    )
