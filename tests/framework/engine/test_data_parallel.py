"""Tests of training in two processes on a CPU: the same result as in one, files of the first only, ends of either."""

from __future__ import annotations

import csv
import os
import signal

import pytest
import torch

from bozzetto.engine.loop import Loop
from bozzetto.engine.pipeline import Interrupted, load_state
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.workers import Worker
from bozzetto.errors import NonFiniteError

pytestmark = pytest.mark.slow


def recipe_of(tiny, devices, steps=4, task=None):
    return tiny.recipe(
        {
            "trainer": {"steps": steps, "devices": devices, "image_every": 0, "checkpoint_every": 100},
            "system": {"tasks": {"random": {"views": {"batch_size": 4}, **(task or {})}}},
            "export": None,
        }
    )


def trained(tiny, recipe, folder=None):
    """Train the first stage, and return the run folder and its tensors."""
    pipeline = tiny.pipeline(recipe, folder)
    pipeline.train(recipe, 0)
    return pipeline.folder, load_state(pipeline.folder.checkpoint("main"))


@pytest.fixture
def worker(monkeypatch):
    """Return the list of the workers that are started."""
    started = []
    init = Worker.__init__

    def noted(worker, job):
        init(worker, job)
        started.append(worker)

    monkeypatch.setattr(Worker, "__init__", noted)
    return started


def at_step(monkeypatch, number, act):
    """Call `act` in this process before a step."""
    step_of = Loop.step

    def step(loop):
        if loop.done == number:
            act()
        step_of(loop)

    monkeypatch.setattr(Loop, "step", step)


def test_two_processes_end_where_one_does_also_after_a_resume(tiny):
    _, alone = trained(tiny, recipe_of(tiny, 1))
    folder, _ = trained(tiny, recipe_of(tiny, 2, steps=2))
    again = recipe_of(tiny, 2)
    folder.write_recipe(again)
    folder, together = trained(tiny, again, RunFolder.existing(folder.path))
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name].float(), value.float(), rtol=1e-3, atol=1e-5)
    rows = list(csv.DictReader((folder.metrics / "main.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert folder.manifest["stages"]["main"]["steps"] == 4


def test_processes_share_out_whole_groups_of_views(tiny):
    """Light, background, timestep and standard deviation of a group are those of one process."""
    task = {
        "views": {"batch_size": 4, "views_per_group": 2},
        "guidance": {"cfg_scale": None},
        "score": {
            "type": "distillation",
            "guider": {"scale": 5, "rescale": 0.5, "rescale_over": "group"},
            "timesteps": {"shared": "group"},
        },
        "losses": {"sds": None, "score": 1.0},
    }
    (_, alone), (_, together) = (trained(tiny, recipe_of(tiny, devices, 2, task)) for devices in (1, 2))
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name].float(), value.float(), rtol=1e-3, atol=1e-5)


def test_a_stop_of_either_process_is_one_of_both(tiny, monkeypatch, worker):
    recipe = recipe_of(tiny, 2, steps=50)
    at_step(monkeypatch, 1, lambda: os.kill(worker[0].process.pid, signal.SIGTERM))
    pipeline = tiny.pipeline(recipe)
    with pytest.raises(Interrupted) as stopped:
        pipeline.train(recipe, 0)
    assert stopped.value.number == signal.SIGTERM and worker[0].ended()
    assert pipeline.folder.checkpoint("main").is_file() and not torch.distributed.is_initialized()


def test_the_end_of_a_process_is_told(tiny, monkeypatch, worker):
    recipe = recipe_of(tiny, 2, steps=50)
    at_step(monkeypatch, 1, lambda: worker[0].process.kill())
    with pytest.raises(RuntimeError, match="process 2 of 2 ended with signal 9"):
        tiny.pipeline(recipe).train(recipe, 0)


def test_an_error_of_this_process_ends_the_other(tiny, monkeypatch, worker):
    def fail():
        raise NonFiniteError("here")

    recipe = recipe_of(tiny, 2, steps=50)
    at_step(monkeypatch, 1, fail)
    with pytest.raises(NonFiniteError, match="here"):
        tiny.pipeline(recipe).train(recipe, 0)
    assert worker[0].ended() and not torch.distributed.is_initialized()


def test_what_a_process_raises_before_the_first_step_is_raised_here(tiny, monkeypatch, worker):
    recipe = recipe_of(tiny, 2)
    pipeline = tiny.pipeline(recipe)
    text = pipeline.folder.recipe_file.read_text(encoding="utf-8")
    pipeline.folder.recipe_file.write_text(text.replace("batch_size: 4", "batch_size: 3"), encoding="utf-8")
    with pytest.raises(Exception, match=r"batch_size: must be a multiple of trainer\.devices \(2\), got 3") as error:
        pipeline.train(recipe, 0)
    assert type(error.value).__name__ == "ConfigError"
