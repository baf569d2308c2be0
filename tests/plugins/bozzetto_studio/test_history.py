"""Tests of how runs stand, from their folders."""

import os
import subprocess
import sys
import time

import pytest

from bozzetto_studio.history import last_error, log_of, pictures_of, run_at, runs_of
from bozzetto_studio.marks import Marks
from bozzetto_studio.processes import Process, process


def standing(outputs, name="zero123/a-cat-000001"):
    return run_at(outputs, *name.split("/")).standing


def test_runs_that_have_ended_stand_as_they_say(make_run, outputs):
    make_run("a/one", "finished")
    make_run("a/two", "failed", "no luck")
    make_run("b/three", "stopped")
    make_run("b/four", None)
    (outputs / ".studio" / "launches").mkdir(parents=True)
    (outputs / "b" / "no-run").mkdir()
    found = {run.name: run for run in runs_of(outputs)}
    assert {name: run.standing.state for name, run in found.items()} == {
        "a/one": "finished", "a/two": "failed", "b/three": "stopped", "b/four": "broken off",
    }  # fmt: skip
    assert found["a/two"].standing.reason == "no luck" and "can be resumed" in found["b/four"].standing.reason
    assert found["a/one"].subject == "a cat" and found["a/one"].progress.step == 20 == found["a/one"].progress.steps


def test_a_run_that_is_held_by_a_process_runs_and_comes_first(make_run, outputs):
    make_run("a/old", None, holder={})
    make_run("a/new", "finished")
    assert [run.name for run in runs_of(outputs)] == ["a/old", "a/new"]
    found = standing(outputs, "a/old")
    assert found.state == "running" and found.busy and found.process == process(os.getpid())


@pytest.mark.parametrize(
    "holder", [{"process": 2**22 + 1}, {"process": -1}, {"process": "x"}, {"since": "2001-01-01 00:00:00+00:00"}]
)
def test_who_has_ended_or_began_later_does_not_hold_it(make_run, outputs, holder):
    make_run(state="stopped", holder=holder)
    assert standing(outputs).state == "stopped"


def test_a_process_of_another_machine_runs_but_cannot_be_stopped_here(make_run, outputs):
    make_run(state=None, holder={"machine": "elsewhere"})
    found = standing(outputs)
    assert found.state == "running" and found.process is None and "on elsewhere" in found.reason


def test_what_the_studio_has_started_is_starting_then_running_then_stopping(make_run, outputs):
    own = process(os.getpid())
    path = make_run(
        state="stopped",
        log="$ bozzetto run --resume x\nmain  step 11 of 30 (36 %)  0.50 steps/s  00:38 left  opacity 0.2\n",
    )
    Marks(own).write(path)
    found = run_at(outputs, "zero123", "a-cat-000001")
    assert found.standing.state == "starting" and (found.progress.step, found.progress.left) == (11, "00:38")
    make_run(state="stopped", holder={})
    assert standing(outputs).state == "running"
    Marks(own, own).write(path)
    assert standing(outputs).state == "stopping"
    Marks(Process(1, "x"), own).write(path)  # its log is of another process
    assert run_at(outputs, "zero123", "a-cat-000001").progress.left == ""


def test_an_error_in_the_log_is_the_reason_if_it_is_the_latest(make_run, outputs):
    log = "$ bozzetto run\nerror: old\n$ bozzetto run --resume x\nrun       x\nerror: new\nwith a second line\n"
    path = make_run(state="failed", reason="short", log=log)
    assert standing(outputs).reason == "new\nwith a second line"
    os.utime(path / "studio.log", (time.time() - 100,) * 2)
    assert standing(outputs).reason == "short"
    make_run(state=None, log=log.replace("error: new", "all is well"))
    assert "was killed" in standing(outputs).reason and last_error("") == ""


def test_a_damaged_run_says_so_and_can_be_found(make_run, outputs):
    path = make_run()
    (path / "manifest.json").write_text("{")
    (run,) = runs_of(outputs)
    assert run.standing.state == "damaged" and "is damaged" in run.standing.reason
    (path / "recipe.yaml").write_text("{")
    (path / "manifest.json").write_text('{"profile": "cpu"}')
    assert run_at(outputs, "zero123", path.name).progress.steps == 0


@pytest.mark.parametrize(
    "names",
    [
        ("..", "outputs"),
        ("zero123", ".."),
        ("zero123", "."),
        ("", "x"),
        ("a/b", "c"),
        ("a\\b", "c"),
        ("a\0", "c"),
        (".studio", "x"),
    ],
)
def test_names_that_lead_elsewhere_are_none(make_run, outputs, names):
    make_run()
    assert run_at(outputs, *names) is None


def test_links_are_no_runs(make_run, outputs, tmp_path):
    path = make_run()
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert run_at(outputs, "zero123", path.name) is None and runs_of(outputs) == []


def test_pictures_come_by_step_and_the_latest_is_shown(make_run, a_picture, outputs):
    path = make_run()
    for number, name in enumerate(["main-000002.png", "main-000010.png", "photo.png", "main-000010-random-noisy.png"]):
        a_picture(path / "images" / name)
        os.utime(path / "images" / name, (9 - number,) * 2)  # copying a folder may turn the times around
    assert [(stage, step) for stage, step, _ in pictures_of(path)] == [("main", 2), ("main", 10)]
    a_picture(path / "export" / "contact_sheet.png")
    assert run_at(outputs, "zero123", path.name).picture.name == "main-000010.png"
    for _, _, file in pictures_of(path):
        file.unlink()
    run = run_at(outputs, "zero123", path.name)
    assert run.picture.name == "contact_sheet.png" and run.picture_version > 0


def test_the_log_is_the_studios_or_the_runs(make_run):
    path = make_run()
    assert log_of(path) == ""
    (path / "log.txt").write_text("one\ntwo\nthree\n")
    assert log_of(path, 2) == "two\nthree"
    (path / "studio.log").write_text("four\n")
    assert log_of(path) == "four"


def test_reading_imports_no_torch():
    code = "import sys, bozzetto_studio.app, bozzetto_studio.command\nprint([n for n in ('torch', 'viser') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
