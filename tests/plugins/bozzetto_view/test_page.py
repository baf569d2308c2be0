"""Tests of the page's parts, with viser's server and no browser."""

import socket
from dataclasses import replace

import pytest
import torch
import trimesh
from PIL import Image

from bozzetto.engine.broadcast import Broadcast
from bozzetto.engine.changes import Change, Changes
from bozzetto.engine.photo_pictures import picture_of
from bozzetto.engine.run_lock import locked
from bozzetto.live import Answer, Live
from bozzetto.testing.fakes import cameras_around
from bozzetto.types import Reference
from bozzetto_view.layout import LINE
from bozzetto_view.texts import last_words

CHOSEN = "\N{BLACK CIRCLE} "


@pytest.fixture
def shown(tiny, registry):
    """Yield the page of a run that seems to be trained, and its exchange."""
    pytest.importorskip("viser", reason="the extra 'view' is not installed")
    from bozzetto_view.source import Source
    from bozzetto_view.window import Window

    recipe = tiny.recipe({"trainer": {"steps": 1, "image_every": 0, "loggers": []}, "export": None})
    folder = tiny.pipeline(recipe).folder
    system = tiny.system(recipe)
    system.prepare(0)
    system.run_tasks(0)
    live = Live(folder.path)
    live.watch(guidance=True)
    Broadcast(live, "main", 9).after_step(3, system)
    source = Source(folder, registry, torch.device("cpu"))
    with locked(folder.path, print):
        window = Window(source, socket.create_server(("127.0.0.1", 0)), "", 16, 32)
        yield window.page, live
        window.close()


def test_the_controls_ask_and_the_answers_are_shown(shown):
    page, live = shown
    page.refresh()
    assert "step **3** of 9" in page._status.content and not page._pause.disabled
    page._ask("pause")
    assert page._answer.content.startswith("Asked for: pause. It acts")
    changing = page._changing
    changing.fields["prompt"].value = "a red chair"
    changing.key.value, changing.value.value = "system.optimizer.clip_norm", "1.5"
    changing.apply()
    assert "change prompt, system.optimizer.clip\\_norm." in page._answer.content
    page._ask_to_stop()  # once is not enough
    taken = live.take()
    both = {"prompt": "a red chair", "system.optimizer.clip_norm": 1.5}
    assert [(item.action, item.key, item.value) for item in taken] == [("pause", "", None), ("change", "", both)]
    page._ask_to_stop()
    assert [item.action for item in live.take()] == ["stop"]
    answer = Answer(taken[1].name, "prompt: <no>", refused=True)
    live.publish(replace(live.state(), paused=True, answers=(answer,), changes=("main, step 2: seed=1",)))
    page.refresh()
    assert page._pause.label == "Resume" and "**paused**" in page._status.content
    assert page._answer.content == r"Refused: prompt: \<no\>" and "main, step 2: seed=1" in changing.told.content
    assert r"refused, and nothing was changed: prompt: \<no\>" in changing.told.content
    assert changing.fields["prompt"].value == "a hamburger"  # which still acts


def test_nothing_is_sent_if_one_value_is_none_and_fields_follow_what_acts(shown):
    page, live = shown
    changing = page._changing
    changing.fields["prompt"].value = "a red chair"
    changing.key.value, changing.value.value = "system.optimizer.clip_norm", "[1"
    changing.apply()
    assert live.take() == [] and "Nothing was sent: system.optimizer.clip" in changing.told.content
    page.refresh()
    assert changing.fields["prompt"].value == "a red chair"  # to be corrected and sent
    changing.key.value = ""
    changing.apply()
    (request,) = live.take()
    assert (request.key, request.value) == ("prompt", "a red chair")
    recipe = page.source.recipe
    Changes(page.source.folder).add(recipe, [Change("main", 3, "prompt", "a blue chair")])  # by another page
    page.refresh()
    assert changing.fields["prompt"].value == "a blue chair"
    changing.apply()
    assert live.take() == [] and "has the value that acts already" in changing.told.content


def test_the_last_words_say_what_became_of_the_run_and_how_to_see_it_again(shown):
    page, _ = shown
    folder = page.source.folder
    assert last_words(page.source)[0] == "This page was closed, and the run goes on."
    folder.record_end("stopped", "Interrupted: stopped in stage main at step 91")
    title, lines = last_words(page.source)
    assert title == "The run was stopped in stage main at step 91."
    assert lines == (f"Go on: bozzetto run --resume {folder.path}", f"Look at it again: bozzetto view {folder.path}")
    folder.record_end("failed", "NonFiniteError: loss is nan")
    assert last_words(page.source)[0] == "The run has failed: loss is nan"
    folder.record_end("finished")
    page.end()
    assert page._status.content.startswith("**The run has finished.**") and "bozzetto view" in page._status.content
    assert page._pause.disabled and page._changing.button.disabled


def test_stages_are_buttons_and_the_chosen_one_is_marked(shown, monkeypatch):
    page, _ = shown
    page.refresh()
    assert not page._stages.visible  # there is one
    monkeypatch.setattr(page.source, "stages", lambda state: ["coarse", "fine"])
    page.refresh()
    assert page._stages.options == (f"{CHOSEN}latest", "coarse", "fine")
    page._choose("coarse")
    assert page.stage == "coarse" and page._stages.options == ("latest", f"{CHOSEN}coarse", "fine")
    page._choose(f"{CHOSEN}coarse")
    assert page.stage == "coarse"
    page._choose("latest")
    assert page.stage is None


def test_cameras_guidance_curves_and_the_export_appear(shown):
    page, live = shown
    page._cameras.value = page._see.value = True
    page.guidance = True
    metrics = page.source.folder.metrics / "main.csv"
    metrics.write_text("step,random/opacity,random/sds\n1,0.5,3.0\n2,0.25,2.0\n")
    trimesh.creation.box().export(page.source.folder.export / "mesh.glb")
    page.refresh()
    assert list(page._plots) == ["random/sds", "random/opacity"] and page._frusta == 1
    assert len(page._images) == len(live.state().pictures) > 0
    for choice, visible in (("mesh", True), ("wireframe", True), ("none", False)):
        page._exports._choice.value = choice
        page.refresh()
        assert page._exports.visible is visible
    page._cameras.value = False
    page.refresh()
    assert page._frusta == 0 and "12 faces" in page._exports._told.content


def test_texture_and_layout_stand_in_the_tab_of_the_export(shown, textured):
    page, _ = shown
    path = page.source.folder.export / "mesh.glb"
    textured.export(path)
    page.refresh()
    exports = page._exports
    pictures = exports._pictures
    assert list(pictures) == ["texture", "UV layout"]
    below = exports._shown_below._impl
    assert below.parent_container_id == exports._told._impl.parent_container_id != "root"
    assert {one._impl.parent_container_id for one in pictures.values()} == {below.uuid}
    texture, layout = (picture.image for picture in pictures.values())
    assert texture.shape == (64, 64, 3) and texture[0, 0, 0] == 230 == texture[0, 63, 2]
    assert layout.shape == (1024, 1024, 3) and 0.005 < (layout == LINE).all(-1).mean() < 0.1
    trimesh.creation.box().export(path)  # without a texture
    page.refresh()
    assert not exports._shown_below.visible and not any(picture.visible for picture in pictures.values())


def test_the_photo_and_the_views_of_a_group_are_shown(tiny, registry, shown):
    page, live = shown
    folder = page.source.folder
    reference = Reference(torch.zeros(8, 8, 3), torch.ones(8, 8, 1), cameras_around([0.0], size=8))
    folder.images.mkdir(exist_ok=True)
    Image.fromarray(picture_of(reference)).save(folder.images / "photo.png")  # as a run with a photo does
    views = {"batch_size": 4, "views_per_group": 4}
    system = tiny.system(tiny.recipe({"system": {"tasks": {"random": {"views": views}}}}))
    system.prepare(0)
    system.run_tasks(0)
    live.watch(guidance=True)
    page.refresh()
    assert list(page._images) == ["photo"]  # also if nobody asks what the guidance sees
    Broadcast(live, "main", 9).after_step(4, system)
    page.guidance = True
    page.refresh()
    images = dict(page._images)
    photo = images.pop("photo").image
    assert photo.shape[0] == 8 and photo.shape[2] == 3
    assert len(images) > 0 and all(name.startswith("random-") for name in images)
    for name, picture in images.items():
        assert picture.image.shape[1] == 4 * picture.image.shape[0], name  # four views side by side
