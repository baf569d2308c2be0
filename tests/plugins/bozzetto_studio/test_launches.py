"""Tests of runs that have no folder yet."""

import json

from bozzetto_studio.history import run_at
from bozzetto_studio.launches import Launches
from bozzetto_studio.marks import Marks


def test_a_launch_becomes_a_run(studio, outputs, wait_until):
    identity = studio.launches.begin(["run", "--config", "x", f"output={outputs}", "prompt=a cat"], "a cat", "x")
    again = Launches(outputs)  # another studio, or this one started again
    found = wait_until(lambda: (one := again.find(identity)) and one.run and one, "its folder")
    assert found.run == "zero123/a-run-0a1b2c" and found.subject == "a cat" and not found.error
    run = run_at(outputs, *found.run.split("/"))
    assert run.standing.state == "running" and run.progress.left == "00:26"
    assert (run.path / "studio.log").read_text().startswith("$ bozzetto run --config x")
    assert again.waiting() == [] and again.find(identity).run == found.run
    Marks.read(run.path).process.stop()
    wait_until(lambda: run_at(outputs, *found.run.split("/")).standing.state == "stopped", "it has stopped")


def test_a_launch_that_fails_says_why_and_can_be_removed(studio, outputs, wait_until):
    identity = studio.launches.begin(["run", "seed=late"], "a cat", "x")
    (found,) = wait_until(lambda: [one for one in studio.launches.waiting() if not one.alive], "it has ended")
    assert found.error == "the weights cannot be read"
    studio.launches.stop(found)  # nothing to stop
    studio.launches.forget(found)
    assert studio.launches.waiting() == [] and studio.launches.find(identity) is None


def test_what_is_left_of_a_launch_goes_with_its_run(studio, outputs):
    place = studio.launches.folder / "0123456789ab"
    place.mkdir(parents=True)
    about = {"subject": "a", "recipe": "b", "begun_s": 1.0, "run": "gone/gone"}
    (place / "launch.json").write_text(json.dumps(about))
    assert studio.launches.waiting() == [] and not place.exists()


def test_names_that_lead_elsewhere_are_none(studio, outputs):
    for identity in ("", "..", "../../x", "0123456789AB", "0123456789ab"):
        assert studio.launches.find(identity) is None


def test_a_run_folder_elsewhere_is_not_taken(studio, tmp_path):
    place = studio.launches.folder / "0123456789ab"
    place.mkdir(parents=True)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (place / "launch.json").write_text(
        json.dumps({"subject": "a", "recipe": "b", "begun_s": 1.0, "run": "", "working_folder": "/"})
    )
    (place / "studio.log").write_text(f"run       {tmp_path}/a/b\n")
    assert studio.launches.find("0123456789ab").run == "" and not (tmp_path / "a" / "b" / "studio.json").exists()
