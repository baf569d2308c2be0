"""Tests that cases are determined by their numbers, and that the rules separate faults from refusals."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from fuzz import images, meshes, poison
from fuzz.audit import inside, real
from fuzz.case import Command, Interruption, Result, random_of
from fuzz.judge import faults_of, outcome_of
from fuzz.recipes import _paths

GOOD = Result(Command(("check",)), 0, 0.1, 10**8, "", "", (), False, False)
RAISED = 'Traceback (most recent call last):\n  File "/x/y.py", line 7, in f\n    g()\nKeyError: 3\n'


def changed(**changes: object) -> Result:
    return Result(**{**vars(GOOD), **changes})


@pytest.mark.parametrize("family", ["recipes", "images"])
def test_a_case_follows_from_seed_and_number(family):
    assert random_of(1, family, 2).random() == random_of(1, family, 2).random()
    assert random_of(1, family, 2).random() != random_of(2, family, 2).random()
    assert random_of(1, family, 2).random() != random_of(1, family, 3).random()


def test_pictures_and_meshes_are_the_same_bytes_each_time(tmp_path):
    for number in range(20):
        assert images.picture(random_of(0, "images", number)) == images.picture(random_of(0, "images", number))
        one = meshes.mesh(random_of(0, "meshes", number), tmp_path)
        assert one == meshes.mesh(random_of(0, "meshes", number), tmp_path)


def test_damage_changes_bytes():
    source, content = random.Random(0), bytes(range(256)) * 4
    assert sum(poison.damage(content, source)[0] != content for _ in range(100)) > 95
    assert len(poison.damage(b"", source)[0]) == 1


def test_every_value_of_a_recipe_has_a_place():
    assert list(_paths({"a": [1, {"b": 2}]})) == [("a",), ("a", 0), ("a", 1), ("a", 1, "b")]


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (changed(code=1, err=RAISED), "traceback: KeyError at /x/y.py:7 in f"),
        (changed(code=0, out=RAISED), "traceback: KeyError at /x/y.py:7 in f"),
        (changed(code=2, err="no"), "exit 2 without a line that starts with 'error:'"),
        (changed(code=2, err="bar]error: no"), "exit 2 without a line that starts with 'error:'"),
        (changed(code=1, err="error: it is not finite"), "exit 1: error: it is not finite"),
        (changed(code=3, err="error: x"), "exit 3: error: x"),
        (changed(code=2, err="error: out of memory"), "memory: error: out of memory"),
        (changed(code=2, err="error: no", command=Command(("run",), must_agree=True)), "check accepted it: error: no"),
        (changed(code=-11, err=""), "killed by signal 11: unknown place"),
        (changed(code=-9, timed_out=True), "hang: unknown place"),
        (changed(peak_bytes=3 * 10**9), "memory: 3 GB"),
        (changed(forbidden=("written outside: /a1",)), "written outside: /aN"),
        (changed(command=Command((), interruption=Interruption(signal.SIGTERM, 1)), interrupted=True), "exit 0 after SIGTERM"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_a_fault(result, kind):
    assert [fault.kind for fault in faults_of(result)] == [kind]


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (GOOD, "ok"),
        (changed(code=2, err="error: system.x: y"), "refused"),
        (changed(code=2, err="notice: x\nerror: y"), "refused"),
        (changed(code=1, err="error: it is not finite", command=Command(("run",), may_diverge=True)), "not finite"),
        (changed(code=2, err="error: out of memory", command=Command(("run",), may_run_out=True)), "memory"),
        (changed(code=130, command=Command((), interruption=Interruption(signal.SIGINT, 1)), interrupted=True), "stopped"),
        (changed(out="done in 3 s", command=Command((), interruption=Interruption(signal.SIGINT, 1)), interrupted=True), "ok"),
    ],
)  # fmt: skip
def test_what_is_allowed_is_no_fault(result, outcome):
    assert faults_of(result) == []
    assert outcome_of(result) == outcome


def test_links_on_the_way_are_followed(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to(tmp_path)
    place = real(str(tmp_path / "in" / "out" / "x"), -1)
    assert Path(place) == tmp_path / "x"
    assert inside(str(tmp_path / "in"), (str(tmp_path / "in"),))
    assert not inside(place, (str(tmp_path / "in"),)) and not inside(str(tmp_path / "inner"), (str(tmp_path / "in"),))


def test_a_lie_in_a_mesh_is_valid_json(tmp_path):
    found = [meshes.mesh(random_of(0, "meshes", number), tmp_path) for number in range(60)]
    described = [content for suffix, content, what in found if what.startswith("glTF")]
    assert described and all(json.loads(content) for content in described)
