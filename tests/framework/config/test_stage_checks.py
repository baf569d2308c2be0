"""Tests of needs: met by the scene or by the own task, never by another task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bozzetto.errors import ConfigError


@pytest.fixture
def photo(tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (200, 30, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


@pytest.fixture
def change(registry, monkeypatch):
    """Change what a component needs or provides."""

    def changed(kind, name, **sets):
        (entry,) = registry.entries[kind, name]
        monkeypatch.setitem(registry.entries, (kind, name), [replace(entry, spec=replace(entry.spec, **sets))])

    return changed


def two_tasks(tiny, photo, first=None, second=None, losses=None):
    """Return a recipe with the task `random`, and a task `photo` with a photo."""
    tasks = {
        "random": {"losses": first or {}},
        "photo": {
            "views": {"type": "single-image", "image": photo, "height": 16, "width": 16},
            "losses": {"reference-mask": 1.0, **(second or {})},
        },
    }
    return tiny.recipe({"system": {"tasks": tasks}})


def test_a_loss_is_not_given_the_photo_of_another_task(tiny, photo):
    assert two_tasks(tiny, photo, second={"reference-color": 1.0})
    with pytest.raises(ConfigError) as caught:
        two_tasks(tiny, photo, first={"reference-color": 1.0})
    assert (
        "system.tasks.random.losses.reference-color: loss 'reference-color' needs reference, which nothing in the task "
        "'random' provides: view-source 'single-image', at system.tasks.photo.views, does so for its own task alone. "
        "Move the loss there, or give 'random' such a view-source."
    ) in str(caught.value)


def test_a_loss_of_weight_0_may_need_what_another_task_has(tiny, photo):
    assert two_tasks(tiny, photo, first={"reference-color": 0.0})
    with pytest.raises(ConfigError, match="needs reference, which no component of this system provides"):
        tiny.recipe({"system": {"tasks": {"random": {"losses": {"reference-color": 0.0}}}}})


@pytest.mark.parametrize("task", ["random", "photo"])
def test_what_one_view_source_provides_is_of_its_task(tiny, photo, change, task):
    """Both directions: the provider is the view source of the first or of the second task."""
    change("loss", "opaque", needs=frozenset({"depth-of-field"}))
    own = {"random": "orbit", "photo": "single-image"}
    provides = {"orbit": frozenset(), "single-image": frozenset({"reference"})}
    change("view-source", own[task], provides=provides[own[task]] | {"depth-of-field"})
    losses = {"random": {"first": {"opaque": 1.0}}, "photo": {"second": {"opaque": 1.0}}}
    assert two_tasks(tiny, photo, **losses[task])
    (other,) = set(own) - {task}
    message = (
        f"system.tasks.{other}.losses.opaque: loss 'opaque' needs depth-of-field, which nothing in the task {other!r} "
        f"provides: view-source {own[task]!r}, at system.tasks.{task}.views,"
    )
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        two_tasks(tiny, photo, **losses[other])


def test_a_guidance_is_given_the_photos_of_all_tasks_but_nothing_else(tiny, photo, change, tiny_zero123_model):
    guidance = {"type": "zero123", "model": str(tiny_zero123_model)}
    photos = {"views": {"type": "single-image", "image": photo}, "losses": {"reference-mask": 1.0}}
    changes = {"system": {"tasks": {"random": {"guidance": guidance}, "photo": photos}}}
    assert tiny.recipe(changes)
    change("guidance", "zero123", needs=frozenset({"reference", "normal-map"}))
    change("view-source", "single-image", provides=frozenset({"reference", "normal-map"}))
    with pytest.raises(ConfigError, match=r"guidance 'zero123' needs normal-map, which nothing in the task 'random'"):
        tiny.recipe(changes)


def test_a_part_of_the_scene_needs_it_in_every_task(tiny, photo, change):
    change("background", "random-solid", needs=frozenset({"reference"}))
    with pytest.raises(ConfigError) as caught:
        two_tasks(tiny, photo)
    assert (
        "system.background: background 'random-solid' needs reference, which nothing in the task 'random' provides: "
        "view-source 'single-image', at system.tasks.photo.views, does so for its own task alone. Give 'random' such a "
        "view-source."
    ) in str(caught.value)
    tasks = {"random": {"views": {"type": "single-image", "image": photo, "eval_height": 16, "eval_width": 16}}}
    changed = tiny.recipe({"system": {"tasks": tasks}}, ["system.tasks.random.views.height=16"])
    assert len(changed.stages[0].tasks) == 1
