"""Tests of observers: what their hooks receive, and that they cannot change the run."""

import os
import signal
import time
from pathlib import Path

import pluggy
import pytest
import torch

from bozzetto import hookimpl, hookspecs
from bozzetto.engine.loop import Loop
from bozzetto.engine.observers import Observers
from bozzetto.engine.pipeline import load_state
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import NonFiniteError

SHORT = {"trainer": {"steps": 3, "log_every": 2, "image_every": 0}, "export": None}


class Watcher:
    """Observer that records every call."""

    def __init__(self):
        self.seen = []

    @hookimpl
    def bozzetto_run_started(self, recipe, run_folder):
        self.seen.append(("started", recipe.name, run_folder.is_dir()))

    @hookimpl
    def bozzetto_step_finished(self, step, losses):
        self.seen.append(("step", step, sorted(name for name, value in losses.items() if type(value) is float)))
        losses.clear()

    @hookimpl
    def bozzetto_stage_finished(self, stage, steps, run_folder):
        self.seen.append(("stage", stage, steps, (run_folder / "checkpoints" / f"{stage}.ckpt").is_file()))

    @hookimpl
    def bozzetto_run_failed(self, reason, run_folder):
        self.seen.append(("failed", reason))
        return [run_folder / "recipe.yaml", run_folder / "none"]


class Thrower:
    """Observer that raises in every hook."""

    @hookimpl
    def bozzetto_run_started(self):
        raise RuntimeError("out of paper")

    @hookimpl
    def bozzetto_step_finished(self, step):
        raise SystemExit(f"step {step}")

    @hookimpl
    def bozzetto_stage_finished(self):
        raise KeyboardInterrupt("no")


@pytest.fixture
def watch(tiny):
    """Register observers for the duration of a test."""
    registered = []

    def add(**observers):
        for name, observer in observers.items():
            tiny.registry.manager.register(observer, name=name)
            registered.append(observer)

    yield add
    for observer in registered:
        tiny.registry.manager.unregister(observer)


def test_an_observer_is_told_start_steps_and_stages(tiny, watch):
    watcher = Watcher()
    watch(watcher=watcher)
    tiny.pipeline(recipe := tiny.recipe(SHORT)).run(recipe)
    started, second, last, stage = watcher.seen
    assert started == ("started", "tiny", True) and stage == ("stage", "main", 3, True)
    assert (second[1], last[1]) == (2, 3) and {"random/sds", "gradient_norm", "random/opacity"} <= set(second[2])


def test_what_observers_raise_is_told_once_per_hook_and_plugin_and_changes_nothing(tiny, watch):
    recipe = tiny.recipe({**SHORT, "trainer": {**SHORT["trainer"], "log_every": 1}})
    alone = tiny.pipeline(recipe)
    alone.run(recipe)
    watcher = Watcher()
    watch(**{"a:thrower": Thrower(), "b:watcher": watcher, "c:thrower": Thrower()})
    watched = tiny.pipeline(recipe)
    watched.run(recipe)
    assert [kind for kind, *_ in watcher.seen] == ["started", "step", "step", "step", "stage"]
    told = [line for line in tiny.said if "the run goes on" in line]
    assert len(told) == 6 and len(set(told)) == 6
    assert (
        "notice    the observer a:thrower failed in bozzetto_run_started, the run goes on: RuntimeError: out of paper"
        in told
    )
    assert any("c:thrower failed in bozzetto_step_finished" in line and "SystemExit: step 1" in line for line in told)
    expected, actual = (load_state(run.folder.checkpoint("main")) for run in (alone, watched))
    assert all(torch.equal(value, actual[name]) for name, value in expected.items())


@pytest.mark.parametrize(
    ("error", "raised", "reason"),
    [
        (NonFiniteError("loss random/sds is nan\nat step 1"), NonFiniteError, "NonFiniteError: loss random/sds is nan"),
        (KeyboardInterrupt(), KeyboardInterrupt, "KeyboardInterrupt"),
    ],
)
def test_a_run_that_ends_early_is_told_and_the_error_stays(tiny, watch, monkeypatch, error, raised, reason):
    def fail(loop):
        raise error

    monkeypatch.setattr(Loop, "step", fail)
    watcher = Watcher()
    watch(watcher=watcher)
    recipe = tiny.recipe(SHORT)
    with pytest.raises(raised):
        tiny.pipeline(recipe).run(recipe)
    assert watcher.seen[-1] == ("failed", reason)
    assert [line.endswith("recipe.yaml") for line in tiny.said if line.startswith("wrote")] == [True], (
        "no other file exists"
    )


def test_the_end_of_a_run_is_recorded_and_files_of_observers_are_named(tiny, watch):
    class Writer:
        @hookimpl
        def bozzetto_run_finished(self, recipe, run_folder):
            ends.append(RunFolder(run_folder).manifest["end"]["state"])
            page = run_folder / f"{recipe.name}.txt"
            page.write_text("a page")
            return [page, "no path"]

    class Silent:
        @hookimpl
        def bozzetto_run_finished(self):
            return 3

    ends: list[str] = []
    watch(writer=Writer(), silent=Silent())
    run = tiny.pipeline(recipe := tiny.recipe(SHORT))
    assert run.run(recipe) == [run.folder.path / "tiny.txt"] and ends == ["finished"]
    seconds = run.folder.manifest["stages"]["main"]["seconds_by_part"]
    assert {"building", "training", "metrics", "pictures", "checkpoints"} <= set(seconds)
    assert run.export_again(recipe) == [run.folder.path / "tiny.txt"] and ends == ["finished"] * 2


def test_an_observer_takes_only_the_parameters_it_reads():
    class Brief:
        @hookimpl
        def bozzetto_stage_finished(self, steps):
            told.append(steps)

    told, manager = [], pluggy.PluginManager("bozzetto")
    manager.add_hookspecs(hookspecs)
    manager.register(Brief())
    Observers(manager, told.append).stage_finished("main", 7, Path())
    assert told == [7]


def test_a_real_interrupt_reaches_the_run_through_an_observer_that_catches_everything():
    class Stubborn:
        @hookimpl
        def bozzetto_stage_finished(self):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1.0)
            except BaseException:
                pass

    manager = pluggy.PluginManager("bozzetto")
    manager.add_hookspecs(hookspecs)
    manager.register(Stubborn())
    with pytest.raises(KeyboardInterrupt):
        Observers(manager, print).stage_finished("main", 7, Path())
