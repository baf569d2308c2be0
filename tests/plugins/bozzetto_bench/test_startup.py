"""Tests of the time to the first step: of a fresh process, to the end of its first step and no further."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from bozzetto.errors import UserError
from bozzetto_bench import startup
from bozzetto_bench.startup import FILE, Startup, measure_startup


def test_the_median_and_each_run_are_told() -> None:
    told = Startup((3.0, 2.5, 9.0)).line("dreamfusion-sd")
    assert told.startswith("startup: 3.0 s ") and told.endswith("dreamfusion-sd (3.0, 2.5, 9.0)")


def test_each_run_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run(command: list[str], env: dict[str, str], **rest: object) -> subprocess.CompletedProcess[str]:
        calls.append(command[3:])
        assert env["BOZZETTO_PLUGINS"] == "bozzetto_bench.startup"
        Path(env[FILE]).write_text(f"{time.time() + 2.0} 1.5")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(startup.subprocess, "run", run)
    assert measure_startup("magic3d", "cpu", ["seed=1"], 2, processor=True).seconds == (1.5, 1.5)
    assert measure_startup("magic3d", "cpu", [], 1).median == pytest.approx(2.0, abs=0.5)
    assert len(calls) == 3 and calls[0][:5] == ["--config", "magic3d", "--profile", "cpu", "seed=1"]


def test_a_process_that_trains_no_step_tells_why() -> None:
    with pytest.raises(UserError, match="no-such-recipe"):
        measure_startup("no-such-recipe", "cpu", [], 1)


def test_elsewhere_the_observer_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE, raising=False)
    startup.bozzetto_step_finished(1)


@pytest.mark.slow
def test_a_real_process_is_measured(tiny) -> None:
    found = measure_startup(str(tiny.recipe_file()), "auto", [], 1)
    assert 0.5 < found.median < 300.0
