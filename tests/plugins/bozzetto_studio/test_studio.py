"""Tests of what is done with runs, by a command line that is quick."""

import pytest

from bozzetto.engine.run_lock import locked
from bozzetto.errors import UserError
from bozzetto_studio.history import run_at
from bozzetto_studio.wish import Wish


@pytest.fixture
def of(studio):
    return lambda path: run_at(studio.outputs, path.parent.name, path.name)


def test_a_plan_is_a_dry_run_and_errors_are_the_command_lines(studio):
    assert studio.plan(Wish("a cat", recipe="dreamfusion-sd")).endswith("--dry-run\nmemory    about 0.2 GB")
    for do in (studio.plan, studio.start):
        with pytest.raises(UserError) as error:
            do(Wish("a cat", recipe="dreamfusion-sd", seed="no"))
        assert str(error.value) == "--config: seed: must be a number, got 'no'.\nSee the help."
    assert studio.launches.waiting() == []


def test_a_run_is_started_stopped_resumed_and_deleted(studio, wait_until):
    identity = studio.start(Wish("a cat", recipe="dreamfusion-sd"))
    wait_until(lambda: studio.launches.find(identity).run, "its folder")
    find = lambda: studio.run("zero123", "a-run-0a1b2c")  # noqa: E731
    for refused in (
        lambda: studio.delete(find()),
        lambda: studio.resume(find(), ()),
        lambda: studio.export(find(), (), ()),
    ):
        with pytest.raises(UserError, match="is in use"):
            refused()
    running = find()
    studio.stop(running)
    with pytest.raises(UserError, match="is stopping already"):
        studio.stop(running)
    wait_until(lambda: find().standing.state == "stopped", "it has stopped")
    with pytest.raises(UserError, match="no process of this machine works on it"):
        studio.stop(find())
    studio.resume(find(), ["trainer.steps=30"])
    wait_until(lambda: find().standing.state == "running", "it runs again")
    log = (running.path / "studio.log").read_text()
    assert f"\n$ bozzetto run --resume {running.path} trainer.steps=30\n" in log
    studio.stop(find())
    wait_until(lambda: find().standing.state == "stopped", "it has stopped again")
    studio.delete(find())
    assert find() is None and not running.path.exists() and studio.launches.find(identity) is None


def test_exports_and_reports(studio, make_run, of, wait_until):
    path = make_run()
    studio.export(of(path), ["glb", "stl"], ["export.mesh.max_faces=9"])
    wait_until(
        lambda: not of(path).standing.busy and "wrote     mesh.glb" in (path / "studio.log").read_text(), "the export"
    )
    assert f"export {path} --format=glb,stl export.mesh.max_faces=9" in (path / "studio.log").read_text()
    studio.report(of(path))
    assert (path / "report.html").is_file()


def test_a_folder_that_another_process_has_just_locked_is_not_deleted(studio, make_run, of):
    path = make_run()
    found = of(path)
    with locked(path, print), pytest.raises(UserError, match="is in use"):
        studio.delete(found)
    assert path.is_dir()
