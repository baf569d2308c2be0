"""Tests that `./check` is CI: its commands pass, and it runs the tests as README.md documents."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINES = [
    line
    for line in (ROOT / "check").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith(("#", "set ", "cd "))
]


def test_it_ends_with_the_test_command_of_the_readme():
    (command,) = re.findall(r"^python -m pytest.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert LINES[-1] == f'{command} "$@"'
    assert os.access(ROOT / "check", os.X_OK)


def test_ci_runs_the_same_before_the_tests():
    """The lines of .ci/run that compose its command, with what they compose printed instead of run."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    compose = re.search(r"^command=\$\(python3.*?^command=\"\$\{command/[^\n]*", script, re.MULTILINE | re.DOTALL)
    printed = f"set -euo pipefail\n{compose[0]}\nprintf '%s' \"$command\""
    done = subprocess.run(["bash", "-c", printed], cwd=ROOT, capture_output=True, text=True, check=True)
    readme = done.stdout.splitlines()[-len(LINES) :]
    assert readme == [*LINES[:-1], LINES[-1].removesuffix(' "$@"')]


@pytest.mark.parametrize("line", LINES[:-1])
def test_nothing_is_wrong_before_the_tests(line):
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        line.split(), cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_contributing_names_every_command():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for command in ("./check", "bozzetto plugins check", "bozzetto plugins docs", "bozzetto schema"):
        assert command in text
    assert text.count("\n") < 80
