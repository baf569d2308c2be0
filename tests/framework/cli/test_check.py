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
