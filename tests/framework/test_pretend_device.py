"""Tests that shipped recipes train on an accelerator without mixing devices, and rarely wait for it: on a pretend one.

`tests/framework/pretend` has the device. Of the kernels' torch forms only the march counts, once, as in any package: what
else they need to know of their results' sizes depends on the package that computes them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bozzetto.config.profiles import base_of
from bozzetto.config.recipe_file import read_recipe
from bozzetto.registry.discovery import Registry, installed_sources

ROOT = Path(__file__).parents[2]
MOST = 2
"""Waits per step: for the samples, or the pixels, of each rendering, and for the triangles of a surface that moves."""
MOST_OF = {"magic123": 4}
"""The same of recipes with three renderings in a step."""
FOR_MAIN_MEMORY = 6
"""The same in a profile that is made for main memory, where nothing is waited for: pruning asks for its samples, too."""


class Steps:
    """A process that trains one case after another: a start takes as long as a case. A killed one is started again."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self.factory, self.process = factory, None

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def start(self) -> None:
        folder = self.factory.mktemp("steps")
        self.said = folder / "said.txt"
        command = [sys.executable, "-m", "tests.framework.pretend.steps", str(folder)]
        paths = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=paths, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
            )

    def run(self, *cases: str) -> dict[str, dict[str, int]]:
        result = {}
        for case in cases:
            if self.process is None or self.process.poll() is not None:
                self.start()
            print(case, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
            assert answer, f"{case}: the process ended: {self.said.read_text()[-4000:]}"
            found = json.loads(answer)
            assert "error" not in found, f"{case}: {found['error']}"
            result |= found
        return result


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with Steps(tmp_path_factory) as steps:
        yield steps.run


def waits_of(found: dict[str, int]) -> dict[str, int]:
    """Return the waits outside of kernels by place, and those of marches."""
    waits = {place: count for place, count in found.items() if " at kernels/" not in place}
    marches = sum(count for place, count in found.items() if place.startswith("repeat_interleave at kernels/ref/march"))
    return waits | ({"a march": marches} if marches else {})


def check(result: dict[str, dict[str, int]]) -> None:
    assert result
    for case, found in result.items():
        waits, (name, profile, _) = waits_of(found), case.split(":")
        most = FOR_MAIN_MEMORY if profile == "cpu" else MOST_OF.get(name, MOST)
        assert sum(waits.values()) <= most, f"{case} waits {sum(waits.values())} times: {waits}"


def test_a_step_of_the_main_recipes_waits_rarely_for_the_device(run):
    result = run("dreamfusion-sd:cuda", "zero123:cuda", "magic123:cuda")
    assert set(result) == {
        "dreamfusion-sd:cuda:main",
        "zero123:cuda:main",
        "magic123:cuda:coarse",
        "magic123:cuda:refine",
    }
    check(result)


def test_what_is_not_finite_is_told_when_the_numbers_are_read_by_component(run):
    result = run("dreamfusion-sd:cuda+nan")
    (told,) = result["dreamfusion-sd:cuda+nan:not finite"]
    assert "geometry HashGrid gave a density that is not finite" in told


def all_cases() -> list[str]:
    """Return every recipe with its profiles; those by memory where a recipe has its own."""
    registry = Registry.discover(installed_sources({}))
    files = [read_recipe(path, registry) for path in sorted(ROOT.glob("configs/*.yaml"))]
    cases = [
        f"{file.path.stem}:{profile}"
        for file in files
        for profile in file.profile_names
        if base_of(profile) == profile or profile in file.profiles
    ]
    # The language model of one needs a download; the adapter of the other is made in main memory by peft and moved by
    # `Parameter.data`, which torch forbids for tensors of a backend in Python.
    return [case for case in cases if case != "debiased:cuda" and not case.startswith("prolificdreamer:")]


@pytest.mark.slow
@pytest.mark.parametrize("case", all_cases())
def test_every_recipe_trains_on_the_device(run, case):
    check(run(case))
