"""Tests of recipes with a photo: resolution of its path, receivers, and two tasks that train one scene."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.config import layers
from bozzetto.config.loading import load_recipe
from bozzetto.engine.build import build_system
from bozzetto.engine.reference_photos import WithReferences
from bozzetto.errors import ConfigError
from bozzetto.testing.run import train_one_step
from bozzetto_plugins.guidance.zero123 import Zero123

REFERENCE = {
    "views": {"type": "single-image", "image": "${image}", "height": 16, "width": 16},
    "losses": {"reference-color": 1.0, "reference-mask": 1.0},
}
CPU = torch.device("cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (200, 30, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def with_photo(tiny, model: Path | None = None, **changes):
    """Return changes that give the tiny recipe two tasks."""
    tasks = {"reference": REFERENCE}
    if model is not None:
        guidance = {"type": "zero123", "model": str(model), "dtype": "float32"}
        tasks["random"] = {"guidance": guidance}
    return {"image": "photo.png", "prompt": None, "system": {"tasks": tasks}, **changes}


def test_a_photo_stands_in_for_a_prompt_and_lies_beside_the_file_that_says_it(tiny, photo):
    recipe = tiny.recipe(with_photo(tiny, prompt="a ball"))
    assert recipe.image == str(photo)
    recipe = load_recipe(tiny.recipe_file(with_photo(tiny)), tiny.registry, ["prompt="])
    assert recipe.prompt == "" and recipe.subject == "photo"
    (reference,) = [task for task in recipe.stages[0].tasks if task.name == "reference"]
    assert reference.views.config.image == str(photo)


def test_on_the_command_line_a_path_is_relative_to_where_one_is(tiny, photo, tmp_path, monkeypatch):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    shutil.copy(photo, elsewhere / "my, photo.png")
    monkeypatch.chdir(elsewhere)
    recipe = load_recipe(tiny.recipe_file(with_photo(tiny)), tiny.registry, ["image=my, photo.png", "prompt="])
    assert recipe.image == str(elsewhere / "my, photo.png")


def test_a_photo_that_must_be_given_says_so(tiny, photo):
    with pytest.raises(ConfigError, match=r"image is missing\. Give a photo"):
        tiny.recipe(with_photo(tiny, image="???"))


def test_who_needs_a_photo_must_have_one(tiny, photo, tiny_zero123_model):
    guidance = {"type": "zero123", "model": str(tiny_zero123_model)}
    with pytest.raises(ConfigError, match="guidance 'zero123' needs reference"):
        tiny.recipe({"system": {"tasks": {"random": {"guidance": guidance}}}})
    with pytest.raises(ConfigError, match="loss 'reference-mask' needs reference"):
        tiny.recipe({"system": {"tasks": {"random": {"losses": {"reference-mask": 1.0}}}}})


def build(tiny, model: Path, **changes):
    recipe = load_recipe(tiny.recipe_file(with_photo(tiny, model, **changes)), tiny.registry, ["prompt="])
    weights = {str(model): model}
    return build_system(recipe.stages[0], recipe, tiny.registry, weights, CPU, None, tiny.said.append)


def test_guidance_and_losses_get_the_same_photo(tiny, photo, tiny_zero123_model):
    random, reference = sorted(build(tiny, tiny_zero123_model).tasks, key=lambda task: task.name)
    assert isinstance(random.condition, WithReferences)
    assert random.reference is None and reference.guidance is None
    (seen,) = random.condition.references
    assert torch.equal(seen.image, reference.reference.image)
    assert reference.reference.camera.elevation_deg.item() == pytest.approx(0.0, abs=1e-4)


def test_an_unknown_elevation_is_told_by_the_guidance(tiny, photo, tiny_zero123_model, monkeypatch):
    monkeypatch.setattr(Zero123, "estimate_elevation_deg", lambda self, reference, generator: 30.0)
    unknown = {**REFERENCE, "views": {**REFERENCE["views"], "elevation_deg": "estimate"}}
    changes = {"system": {"tasks": {"reference": unknown}}}
    model = tiny_zero123_model
    recipe = load_recipe(tiny.recipe_file(layers.overlay(with_photo(tiny, model), changes)), tiny.registry, ["prompt="])
    system = build_system(recipe.stages[0], recipe, tiny.registry, {str(model): model}, CPU, None, tiny.said.append)
    (reference,) = [task.reference for task in system.tasks if task.reference is not None]
    assert reference.camera.elevation_deg.item() == pytest.approx(30.0, abs=1e-3)
    assert any("30 degrees" in line for line in tiny.said)


def test_an_elevation_nobody_can_tell_must_be_given(tiny, photo):
    unknown = {**REFERENCE, "views": {**REFERENCE["views"], "elevation_deg": "estimate"}}
    with pytest.raises(ConfigError, match="cannot be estimated by any guidance"):
        tiny.recipe({"image": "photo.png", "system": {"tasks": {"reference": unknown}}})


def test_two_tasks_train_one_scene(tiny, photo, tiny_zero123_model, tmp_path):
    path = tiny.recipe_file(with_photo(tiny, tiny_zero123_model, prompt="a ball"))
    models = {"": tiny_zero123_model}
    (numbers,) = train_one_step(path, tiny.registry, tmp_path, models).values()
    assert {"random/sds", "reference/reference-color", "reference/reference-mask"} <= set(numbers)
    assert numbers["gradient_norm"] > 0.0
