"""Tests that `./check` is CI: its commands pass, and it runs the tests as README.md documents."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

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


def test_the_hooks_of_a_commit_run_the_same_on_the_same_files():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    hooks = {hook["entry"]: hook for hook in repository["hooks"]}
    assert set(hooks) == {line.removesuffix(" --check") for line in LINES[:-1]}
    typed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"]
    for path in [
        path for folder in ("framework", "plugins", "tools", "tests") for path in (ROOT / folder).rglob("*.py")
    ]:
        name = path.relative_to(ROOT).as_posix()
        assert bool(re.search(hooks["mypy"]["files"], name)) == name.startswith(tuple(f"{one}/" for one in typed)), name


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
