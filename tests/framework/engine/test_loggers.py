"""Tests of the loggers: what they receive, and that they are imported at the first write only."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from bozzetto.engine.loggers import Loggers, TensorBoard, WeightsAndBiases, loggers_of
from bozzetto.engine.pipeline import load_state

PIXELS = np.full((4, 6, 3), 128, dtype=np.uint8)


class FakeRun:
    def __init__(self, settings):
        self.settings, self.logged, self.finished = settings, [], False

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished = True


@pytest.fixture
def runs(monkeypatch):
    """Return the runs of a stand-in for wandb."""
    made = []

    def init(**settings):
        made.append(FakeRun(settings))
        return made[-1]

    fake = types.SimpleNamespace(
        init=init, Image=lambda pixels: ("image", pixels.shape), Object3D=lambda path: ("object", path)
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return made


def test_tensorboard_receives_numbers_and_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoard(tmp_path / "main", 0)
    logger.scalars({"random/sds": 0.5}, 10)
    logger.picture("validation", PIXELS, 10)
    logger.close()
    events = EventAccumulator(str(tmp_path / "main")).Reload()
    assert [(one.step, one.value) for one in events.Scalars("random/sds")] == [(10, 0.5)]
    (image,) = events.Images("validation")
    assert (image.step, image.height, image.width) == (10, 4, 6)


def test_without_a_write_there_is_no_event_file(tmp_path):
    logger = TensorBoard(tmp_path / "main", 0)
    logger.close()
    assert not (tmp_path / "main").exists()


def test_weights_and_biases_has_a_run_for_each_stage(tmp_path, runs):
    logger = WeightsAndBiases(tmp_path / "a-cactus-123456", "main", {"seed": 0})
    assert not runs
    logger.scalars({"random/sds": 0.5}, 10)
    logger.picture("validation", PIXELS, 10)
    logger.close()
    (run,) = runs
    assert run.logged == [(10, {"random/sds": 0.5}), (10, {"validation": ("image", (4, 6, 3))})] and run.finished
    named = {name: run.settings[name] for name in ("project", "group", "id", "resume", "config")}
    assert named == {
        "project": "bozzetto", "group": "a-cactus-123456", "id": "a-cactus-123456-main", "resume": "allow",
        "config": {"seed": 0},
    }  # fmt: skip


def test_a_logger_that_has_nothing_to_log_does_not_start(tmp_path, runs):
    WeightsAndBiases(tmp_path, "main", {}).close()
    assert not runs


def test_a_recipe_names_its_loggers(tiny, runs):
    recipe = tiny.recipe({"trainer": {"loggers": ["wandb", "tensorboard", "wandb"]}})
    pipeline = tiny.pipeline(recipe)
    assert [type(one) for one in loggers_of(recipe.stages[0], recipe, pipeline.folder, 0).loggers] == [
        WeightsAndBiases,
        TensorBoard,
    ]
    none = tiny.recipe({"trainer": {"loggers": []}})
    assert loggers_of(none.stages[0], none, pipeline.folder, 0).loggers == []


def test_a_run_logs_its_pictures_and_numbers(tiny, runs):
    recipe = tiny.recipe({"trainer": {"steps": 2, "loggers": ["wandb"]}, "export": None})
    pipeline = tiny.pipeline(recipe)
    pipeline.train(recipe, 0)
    (run,) = runs
    assert [(step, "validation" in values) for step, values in run.logged] == [(1, False), (2, False), (2, True)]
    assert run.finished and not (pipeline.folder.metrics / "tensorboard").exists()
    assert load_state(pipeline.folder.checkpoint("main"))


def test_the_exported_object_goes_to_the_run_of_the_last_stage(tiny, runs):
    recipe = tiny.recipe({"trainer": {"steps": 2, "loggers": ["wandb", "tensorboard"]}, "export": {"turntable": None}})
    pipeline = tiny.pipeline(recipe)
    pipeline.train(recipe, 0)
    pipeline.export(recipe)
    training, export = runs
    assert export.settings["id"] == training.settings["id"] and export.finished
    assert export.logged == [(2, {"mesh": ("object", str(pipeline.folder.export / "mesh.glb"))})]
    pipeline.export(tiny.recipe({"trainer": {"steps": 2, "loggers": []}, "export": {"turntable": None}}))
    assert len(runs) == 2


def test_importing_the_engine_imports_no_logger():
    code = (
        "import sys, bozzetto.engine.pipeline; "
        "sys.exit(any(name in sys.modules for name in ('tensorboard', 'wandb', 'lightning_fabric', 'torch._dynamo')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_several_loggers_are_one():
    class Noted:
        def __init__(self):
            self.calls = []

        def scalars(self, numbers, step):
            self.calls.append(step)

        def picture(self, name, pixels, step):
            self.calls.append(name)

        def mesh(self, name, file, step):
            self.calls.append(file.name)

        def close(self):
            self.calls.append("closed")

    one, two = Noted(), Noted()
    all_of_them = Loggers([one, two])
    all_of_them.scalars({}, 3)
    all_of_them.picture("validation", PIXELS, 3)
    all_of_them.mesh("mesh", Path("export/mesh.glb"), 3)
    all_of_them.close()
    assert one.calls == two.calls == [3, "validation", "mesh.glb", "closed"]
