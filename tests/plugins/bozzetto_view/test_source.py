"""Tests of what there is to show of a run."""

import json
import platform
import shutil

import pytest
import torch

from bozzetto.engine.broadcast import Broadcast
from bozzetto.engine.run_lock import HOLDER, locked
from bozzetto.live import Live, State
from bozzetto_view.source import Source
from bozzetto_view.texts import status_text

CPU = torch.device("cpu")


@pytest.fixture
def recipe(tiny):
    return tiny.recipe({"trainer": {"steps": 1, "image_every": 0, "loggers": []}, "export": None})


@pytest.fixture
def run(tiny, recipe):
    return tiny.pipeline(recipe)


def test_a_run_is_shown_from_its_checkpoint_then_from_the_training_then_as_it_was_read(run, recipe, tiny, registry):
    source = Source(run.folder, registry, CPU)
    assert source.load(None, None) is None and source.stages(None) == [] and source.version(None, None) is None

    run.run(recipe)
    loaded = source.load(None, source.live.state())
    assert (loaded.stage, loaded.step) == ("main", 1) and source.load("main", None) is loaded
    assert "finished, 1 steps" in status_text(source, None, False)

    live, system = Live(run.folder.path), tiny.system(recipe)
    system.prepare(0)
    system.run_tasks(0)
    live.watch()
    broadcast = Broadcast(live, "main", 5)
    broadcast.after_step(3, system)
    state = live.state()
    fresh = source.load(None, state)
    assert fresh.step == 3 and fresh.scene is loaded.scene  # in the same modules
    for name, value in fresh.scene.geometry.state_dict().items():
        assert torch.equal(value, system.geometry.state_dict()[name])

    assert not source.training  # nobody holds the run
    with locked(run.folder.path, print):
        assert source.training and source.state() == state
        assert "step **3** of 5" in status_text(source, state, True)
        broadcast.close()
        assert "preparing a stage, or exporting" in status_text(source, source.state(), True)

    shutil.rmtree(run.folder.path)
    assert source.deleted and source.load(None, state) is fresh


def test_a_process_that_was_killed_trains_no_more_and_what_it_published_is_old(run, registry):
    source = Source(run.folder, registry, CPU)
    holder = run.folder.path / HOLDER
    gone = 2**22 + 7  # more than the system gives
    holder.write_text(json.dumps({"process": gone, "machine": platform.node()}))
    assert not source.training
    holder.write_text(json.dumps({"process": gone, "machine": "another"}))
    assert source.training
    source.live.watch()
    source.live.publish(State(process=3, stage="main", step=1, steps=2))
    assert source.state() is None and "preparing" in status_text(source, None, True)
    holder.write_text("[")
    assert not source.training and source.state().process == 3
