"""Tests that shipped recipes train on an accelerator without mixing devices, and rarely wait for it: on a pretend one.

`tests/framework/pretend` has the device. Waits within the kernels' torch forms are left out: what they need to know of
their results' sizes depends on the package that computes them.
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
VOLUME, SURFACE = 2, 12
"""Waits per step that a stage may have. A surface has as many for the numbers of its edges, faces and pixels."""
EXPECTED = {"magic123:cuda:refine": SURFACE}


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


def outside_kernels(found: dict[str, int]) -> dict[str, int]:
    return {place: count for place, count in found.items() if " at kernels/" not in place}


def check(result: dict[str, dict[str, int]], surfaces: frozenset[str] = frozenset()) -> None:
    for case, found in result.items():
        waits = outside_kernels(found)
        most = SURFACE if case in EXPECTED or case in surfaces else VOLUME
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
    result = run(case)
    assert result
    for stage, found in result.items():
        waits = outside_kernels(found)
        assert sum(waits.values()) <= 32, f"{stage} waits {sum(waits.values())} times: {waits}"
