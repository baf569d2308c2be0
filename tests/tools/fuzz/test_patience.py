"""Tests that timeouts count processor time, so that a busy or suspended machine causes no faults."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from fuzz import patience
from fuzz.patience import Patience, processor_time


def looks(monkeypatch, used, times):
    """Return the answers of a patience of 60 s at `times`, for a process with processor time `used(time)`."""
    watch = Patience(1, 60.0, 0.0)
    answers = []
    for now in times:
        monkeypatch.setattr(patience, "processor_time", lambda pid, now=now: used(now))
        answers.append(watch.is_over(now))
    return answers


@pytest.mark.parametrize(
    ("used", "times", "over"),
    [
        (lambda now: now, range(1, 60), False),
        (lambda now: now, range(1, 63), True),
        (lambda now: 0.1 * now, range(1, 500), False),
        (lambda now: 0.1 * now, range(1, 602), True),
        (lambda now: min(now, 30.0), range(1, 90), False),
        (lambda now: min(now, 30.0), range(1, 93), True),
        (lambda now: 0.0, range(1, 60), False),
        (lambda now: 0.0, range(1, 63), True),
        (lambda now: 0.0, (1, 10_000), False),
    ],
    ids=["works", "endless", "slow machine", "slow and endless", "works, waits", "works, hangs", "waits", "hangs", "paused"],
)  # fmt: skip
def test_when_it_is_over(monkeypatch, used, times, over):
    answers = looks(monkeypatch, used, times)
    assert answers[-1] == over and not any(answers[:-2])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks at /proc")
def test_processor_time_is_that_of_the_process():
    before = processor_time(os.getpid())
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    assert 0.1 <= processor_time(os.getpid()) - before < 1.0
    assert processor_time(2**22 + 1) == 0.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it forks, and looks at /proc")
def test_commands_that_hang_say_where(tmp_path):
    code = f"""
import sys, threading
from pathlib import Path
sys.path.insert(0, {str(patience.__file__).rpartition("/fuzz/")[0]!r})
import bozzetto.cli, bozzetto.engine.pipeline
from fuzz.case import Case, Command
from fuzz.pool import Pool
def endless():
    while True:
        pass
def main(words):
    endless() if words == ["0"] else threading.Event().wait()
bozzetto.cli.main = main
root = Path({str(tmp_path)!r})
(root / "stock").mkdir()
pool = Pool(root / "cases", root / "stock", 2, 1.0)
make = lambda number, sandbox: Case("recipes", number, "x", (Command((str(number),)),))
print(sorted(fault.kind for verdict in pool.run(make, "recipes", iter([0, 1])) for fault in verdict.faults))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.count("hang: ") == 2, done.stdout + done.stderr
    assert "in endless" in done.stdout and "in wait" in done.stdout
