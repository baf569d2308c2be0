"""Tests of a recipe's photo: a component must read it, and its interpretation is reported and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bozzetto.cli import main

ROOT = Path(__file__).parents[3]
REFERENCE = {
    "views": {"type": "single-image", "image": "${image}", "height": 16, "width": 16},
    "losses": {"reference-color": 1.0, "reference-mask": 1.0},
}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Write a photo of a square that is cut off at the left."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 0:32] = (200, 30, 30, 255)
    pixels[20:30, 5:15, :3] = 90
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("command", [["check"], ["run", "--dry-run", "--config"], ["run", "--config"]])
def test_a_photo_that_nothing_looks_at_is_refused(capsys, tmp_path, monkeypatch, photo, command):
    monkeypatch.chdir(tmp_path)
    recipe = str(ROOT / "configs" / "dreamfusion-sd.yaml")
    assert main([*command, recipe, "prompt=a chair", f"image={photo}"]) == 2
    error = capsys.readouterr().err
    assert (
        "no component of recipe 'dreamfusion-sd' reads a photo" in error and "zero123" in error and "magic123" in error
    )
    assert list(tmp_path.iterdir()) == [photo]


@pytest.mark.parametrize("recipe", ["zero123", "magic123"])
def test_recipes_that_read_one_are_not(capsys, photo, recipe):
    assert main(["check", str(ROOT / "configs" / f"{recipe}.yaml"), f"image={photo}"]) == 0, capsys.readouterr().err


def test_what_was_understood_is_told_and_saved(tiny, photo):
    changes = {
        "image": "photo.png",
        "system": {"tasks": {"reference": REFERENCE}},
        "trainer": {"steps": 1, "image_every": 0},
        "export": None,
    }
    recipe = tiny.recipe(changes)
    pipeline = tiny.pipeline(recipe)
    pipeline.run(recipe)
    saved = pipeline.folder.images / "photo.png"
    (notice,) = [line for line in tiny.said if line.startswith("notice")]
    assert notice.startswith("notice    photo.png: the object reaches the border of the picture (left)")
    assert f"photo     as it is used, cut out and framed: {saved}" in tiny.said
    pixels = np.asarray(Image.open(saved))
    side = pixels.shape[0]
    assert pixels.shape == (side, 2 * side, 3)
    object_, mask = pixels[:, :side], pixels[:, side:]
    assert set(np.unique(mask)) == {0, 255} and (object_[mask[..., 0] == 255] == (200, 30, 30)).all(1).any()
    assert sorted(set(object_[mask[..., 0] == 0][:, 0])) == [153, 204], "a checkerboard"


def test_each_task_has_its_photo_and_nothing_is_said_twice(tiny, photo):
    back = {**REFERENCE, "views": {**REFERENCE["views"], "azimuth_deg": 180.0}}
    tasks = {"reference": REFERENCE, "back": back}
    recipe = tiny.recipe(
        {"image": "photo.png", "system": {"tasks": tasks}, "trainer": {"steps": 1, "image_every": 0}, "export": None}
    )
    pipeline = tiny.pipeline(recipe)
    pipeline.train(recipe, 0)
    assert sorted(path.name for path in pipeline.folder.images.iterdir()) == ["photo-back.png", "photo-reference.png"]
    assert len([line for line in tiny.said if line.startswith("notice")]) == 1
