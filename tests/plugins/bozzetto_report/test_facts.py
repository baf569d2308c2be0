"""Tests of what is read from run folders."""

from __future__ import annotations

import math

import pytest

from bozzetto.errors import RunFolderError
from bozzetto_report.facts import at, measures, number, read_metrics, read_run


def test_a_run(fake_run):
    run = read_run(fake_run())
    (stage,) = run.stages
    assert (run.subject, run.name, run.state, run.missing) == ("a cactus", "fake", "finished", ())
    assert (stage.wanted, stage.steps, stage.finished, stage.seconds) == (
        40,
        40,
        True,
        {"building": 2.5, "training": 10.0},
    )
    assert run.seconds == 20.0 and run.notices == ("the photo has no mask",)
    assert [picture.step for picture in run.pictures] == [10, 20, 30, 40]
    assert measures(run)["mesh.glb: silhouette_overlap"] == 0.98 and measures(run)["mesh: faces"] == 20000


def test_stages_in_the_order_of_the_recipe(fake_run):
    recipe = {"stages": {"refine": {"trainer": {"steps": 5}}, "coarse": {}, "gone": None, "../up": {}}}
    assert [(stage.name, stage.wanted) for stage in read_run(fake_run(recipe=recipe)).stages] == [
        ("refine", 5),
        ("coarse", 40),
    ]


def test_a_run_without_an_end_runs_or_was_killed(fake_run, running_elsewhere):
    path = fake_run(manifest={"end": None})
    assert read_run(path).state == "broken off"
    running_elsewhere(path)
    assert read_run(path).state == "running"
    running_elsewhere(path, 2**22 + 1)  # above the largest number of a process
    assert read_run(path).state == "broken off"


def test_a_run_of_a_version_that_recorded_no_end(fake_run):
    path = fake_run()
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"end"', '"something"').replace('"seconds_by_part"', '"another"'))
    assert read_run(path).state == "finished" and read_run(path).stages[0].seconds == {}


def test_no_run_folder(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        read_run(tmp_path)


def test_rows_without_a_step_are_left_out(tmp_path):
    file = tmp_path / "main.csv"
    file.write_text("step,loss,norm\n1,0.5,2\nx,1,1\n,,\n2,,oops,9\n")
    read = read_metrics(file)
    assert read.steps == (1, 2) and read.columns["loss"][0] == 0.5
    assert math.isnan(read.columns["loss"][1]) and math.isnan(read.columns["norm"][1])
    assert read_metrics(tmp_path / "none.csv").steps == ()


def test_numbers_are_finite():
    assert [number(value) for value in (1, 2.5, True, "3", None, math.inf, math.nan)] == [
        1.0,
        2.5,
        None,
        None,
        None,
        None,
        None,
    ]
    assert at({"a": {"b": 1}}, "a", "b") == 1 and at({"a": 3}, "a", "b") is None


def test_the_recipe_is_the_one_with_what_was_changed(steered_run):
    run = read_run(steered_run)
    assert [(change.step, change.key) for change in run.changes] == [
        (5, "prompt"), (12, "system.optimizer.lr"), (30, "prompt"),
    ]  # fmt: skip
    assert run.subject == "a <red> chair" and "a cactus" in run.recipe_text
    assert run.recipe["system"] == {"optimizer": {"lr": {"from": 0.02, "to": 0.01}}}
    (steered_run / "changes.json").write_text('[{"stage": "main", "step": 1, "key": "a..b", "value": 1}]')
    assert read_run(steered_run).subject == "a cactus"
    (steered_run / "changes.json").write_text("[3]")
    damaged = read_run(steered_run)
    assert damaged.subject == "a cactus" and "changes.json cannot be read" in damaged.missing[0]


def test_pauses_are_no_time_of_the_run(fake_run):
    seconds = {"building": 2.5, "training": 10.0, "steering": 600.0}
    stages = {"main": {"finished": True, "steps": 40, "seconds_by_part": seconds}}
    run = read_run(fake_run(manifest={"stages": stages}))
    assert run.seconds == 20.0 and run.stages[0].paused_s == 600.0
