"""Tests of a complete small run: train, stop, resume, export."""

import csv
import json
import signal

import pytest
import torch
import trimesh
from PIL import Image

from bozzetto.engine.loop import Loop
from bozzetto.engine.pipeline import Interrupted, load_scene, load_state
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError, NonFiniteError, RunFolderError


def test_a_run_leaves_everything_it_promises(tiny):
    recipe = tiny.recipe()
    pipeline = tiny.pipeline(recipe)
    written = {path.name for path in pipeline.run(recipe)}
    folder = pipeline.folder
    assert {"mesh.glb", "mesh.obj", "turntable.mp4", "contact_sheet.png"} <= written
    mesh = trimesh.load(folder.export / "mesh.glb", force="mesh")
    assert len(mesh.faces) > 20 and mesh.visual.material.baseColorTexture.size == (32, 32)
    assert {"main-000002.png", "main-000004.png"} <= {path.name for path in folder.images.iterdir()}
    assert Image.open(folder.images / "main-000004.png").size == (32, 48)
    rows = list(csv.DictReader((folder.metrics / "main.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"] and float(rows[0]["gradient_norm"]) > 0
    assert list((folder.metrics / "tensorboard" / "main").glob("events*"))
    manifest = json.loads(folder.manifest_file.read_text())
    assert manifest["stages"]["main"]["finished"] and manifest["versions"]["torch"] and manifest["seed"] == 0
    assert folder.path.name.startswith("a-hamburger-") and folder.path.parent.name == "tiny"


def test_what_is_not_finite_is_not_saved(tiny, monkeypatch):
    recipe = tiny.recipe({"trainer": {"steps": 4, "checkpoint_every": 2, "log_every": 4, "image_every": 0}})
    pipeline, step_of = tiny.pipeline(recipe), Loop.step

    def refuse(count):
        raise NonFiniteError(f"{count} numbers are not finite")

    def noted_later(loop):
        step_of(loop)
        if loop.done == 2:  # as a check of a number on a GPU waits until it is read
            loop.system.readings.add(torch.tensor(7.0), refuse)

    monkeypatch.setattr(Loop, "step", noted_later)
    with pytest.raises(NonFiniteError, match=r"7\.0 numbers"):
        pipeline.train(recipe, 0)
    assert not pipeline.folder.checkpoint("main").exists()


def test_a_resumed_run_ends_where_an_unbroken_one_does(tiny, monkeypatch):
    recipe = tiny.recipe({"trainer": {"steps": 6, "image_every": 0}, "export": None})
    whole = tiny.pipeline(recipe)
    whole.train(recipe, 0)

    step_of = Loop.step
    broken = tiny.pipeline(recipe)

    def stopped_in_the_third_step(loop):
        if loop.done == 2:
            broken.stop.requested = signal.SIGTERM
        step_of(loop)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", stopped_in_the_third_step)
        with pytest.raises(Interrupted, match="stopped in stage main at step 3") as stop:
            broken.train(recipe, 0)
    assert stop.value.number == signal.SIGTERM
    assert not broken.folder.finished("main", 6)
    resumed = tiny.pipeline(recipe, RunFolder.existing(broken.folder.path))
    resumed.train(recipe, 0)

    expected, actual = (load_state(run.folder.checkpoint("main")) for run in (whole, resumed))
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name
    rows = list(csv.DictReader((resumed.folder.metrics / "main.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]


def test_stages_inherit_and_finished_ones_are_skipped(tiny):
    stages = {
        "coarse": {},
        "fine": {"inherit": ["geometry"], "trainer": {"steps": 1}, "system": {"optimizer": {"lr": 0.0}}},
    }
    recipe = tiny.recipe({"trainer": {"steps": 2, "image_every": 0}, "stages": stages, "export": None})
    pipeline = tiny.pipeline(recipe)
    pipeline.run(recipe)
    coarse, fine = (load_state(pipeline.folder.checkpoint(name)) for name in ("coarse", "fine"))
    inherited = [name for name in coarse if name.startswith("geometry.")]
    assert inherited and all(torch.equal(coarse[name], fine[name]) for name in inherited)
    before = pipeline.folder.checkpoint("coarse").stat().st_mtime_ns
    tiny.pipeline(recipe, pipeline.folder).run(recipe)
    assert pipeline.folder.checkpoint("coarse").stat().st_mtime_ns == before


def test_the_first_stage_has_nothing_to_inherit(tiny):
    with pytest.raises(ConfigError, match=r"stages\.only\.inherit: the first stage has none before it"):
        tiny.recipe({"stages": {"only": {"inherit": ["geometry"]}}})


def test_other_parameters_cannot_be_inherited(tiny):
    stages = {"coarse": {}, "fine": {"inherit": ["geometry"], "system": {"geometry": {"levels": 3}}}}
    with pytest.raises(ConfigError, match="geometry cannot start from stage 'coarse': levels is 2 there and 3 here"):
        tiny.recipe({"trainer": {"steps": 1, "image_every": 0}, "stages": stages, "export": None})


def test_the_loaded_scene_is_the_trained_one(tiny):
    recipe = tiny.recipe({"trainer": {"steps": 2, "image_every": 0}, "export": None})
    pipeline = tiny.pipeline(recipe)
    pipeline.train(recipe, 0)
    scene = load_scene(recipe, tiny.registry, pipeline.folder, torch.device("cpu"))
    saved = load_state(pipeline.folder.checkpoint("main"))
    for name, value in scene.geometry.state_dict().items():
        assert torch.equal(value, saved[f"geometry.{name}"])


def test_what_is_not_a_run_folder_says_so(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        RunFolder.existing(tmp_path)


def test_unknown_words_are_told_with_the_nearest_and_where_all_are_listed(tiny, tmp_path):
    import json
    import shutil

    known = {"objects": ["hamburger", "snowman"], "colors": ["red"], "views": ["front", "side", "back", "overhead"]}
    model = shutil.copytree(tiny.model, tmp_path / "model")
    (model / "bozzetto.json").write_text(json.dumps(known))
    tiny.model = model
    tiny.system(tiny.recipe({"prompt": "a red hamburgr"}))
    (notice,) = tiny.said
    assert "the words 'hamburgr' are unknown to the model" in notice and "Nearest: hamburger." in notice
    assert f"2 names in 1 colours, all listed in {model / 'bozzetto.json'}" in notice
