"""Tests of what differs between recipes, and which recipe is the parent of a run."""

from __future__ import annotations

import yaml

from bozzetto_report.differences import differences, parent_of, stage_steps
from bozzetto_report.facts import read_run


def rows(*recipes):
    return [(row.key, row.values) for row in differences(recipes)]


def test_leaves_that_differ():
    one = {"name": "a", "trainer": {"steps": 4}, "seed": 0, "system": {"tasks": {"random": {"losses": {"sds": 1.0}}}}}
    two = {
        "name": "b",
        "trainer": {"steps": 8},
        "seed": 0,
        "system": {"tasks": {"random": {"losses": {"sds": {"from": 0, "to": 1, "until_step": 9}}}}},
    }
    assert rows(one, two) == [
        ("trainer.steps", ("4", "8")),
        ("system.tasks.random.losses.sds", ("1.0", "from 0, to 1, until_step 9")),
    ]
    assert rows(one, one) == []


def test_missing_keys_lists_and_nothing():
    assert rows({"a": [1, True], "b": None}, {"a": [1, False]}) == [
        ("a", ("[1, true]", "[1, false]")),
        ("b", ("null", "–")),
    ]


def test_a_file_is_the_same_by_its_absolute_path():
    assert rows({"image": "photos/cup.png"}, {"image": "/home/me/photos/cup.png"}) == []
    assert rows({"image": "photos/cup.png"}, {"image": "/home/me/photos/mug.png"})


def test_a_shipped_recipe_is_the_parent(fake_run, registry):
    path = fake_run(recipe={"name": "dreamfusion-sd", "prompt": "a ${seed} cup"})
    parent = parent_of(read_run(path), registry)
    assert parent is not None and parent.name == "dreamfusion-sd" and stage_steps(parent.values, "main") == 220
    changed = dict(rows(parent.values, read_run(path).recipe))
    assert changed["trainer.steps"] == ("220", "40") and changed["prompt"][1] == "a ${seed} cup"


def test_of_a_users_file_what_it_extends_is_the_parent(fake_run, registry, tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text(yaml.safe_dump({"extends": "dreamfusion-sd", "seed": 3}))
    run = read_run(fake_run(recipe={"name": "mine"}, manifest={"recipe_file": str(own)}))
    parent = parent_of(run, registry)
    assert parent is not None and parent.name == "dreamfusion-sd"
    own.write_text("prompt: a cup\n")
    assert parent_of(run, registry) is None
    own.write_text("extends: [\n")
    assert parent_of(run, registry) is None
    own.unlink()
    assert parent_of(run, registry) is None


def test_steps_of_a_stage():
    recipe = {"trainer": {"steps": 7}, "stages": {"refine": {"trainer": {"steps": 9}}}}
    assert (stage_steps(recipe, "coarse"), stage_steps(recipe, "refine"), stage_steps({}, "main")) == (7, 9, None)
