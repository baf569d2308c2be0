"""Tests of the table of steps: every step is found, has options of its own, and is listed without torch."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from bozzetto_priors import command_line
from bozzetto_priors.command_line import STEPS

TOOLS = Path(command_line.__file__).parents[1]


def test_each_step_is_the_module_of_its_name_and_verbs_are_steps() -> None:
    for name, step in STEPS.items():
        assert step.module.rpartition(".")[2] == name.replace("-", "_")
        assert find_spec(f"bozzetto_priors.{step.module}") is not None
    mains = {path.stem for path in (TOOLS / "bozzetto_priors").rglob("*.py") if "\ndef main(" in path.read_text()}
    assert mains == {name.replace("-", "_") for name in STEPS} | {"command_line"}


@pytest.mark.parametrize("name", STEPS)
def test_the_help_of_a_step_names_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command_line.main([name, "--help"])
    told = capsys.readouterr().out
    assert told.startswith(f"usage: tools/priors {name} ")
    assert (import_module(f"bozzetto_priors.{STEPS[name].module}").__doc__ or "?").splitlines()[0] in told


def test_steps_are_listed_without_torch_by_script_and_by_module() -> None:
    script = subprocess.run(
        [sys.executable, str(TOOLS / "priors"), "--help"], capture_output=True, text=True, check=True
    )
    words = [sys.executable, "-X", "importtime", "-m", "bozzetto_priors", "--help"]
    module = subprocess.run(words, cwd=TOOLS, capture_output=True, text=True, check=True)
    assert module.stdout == script.stdout
    assert all(f"  {name} " in module.stdout and step.summary in module.stdout for name, step in STEPS.items())
    assert "bozzetto_priors.command_line" in module.stderr and "torch" not in module.stderr


def test_an_unknown_step_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["render-view"]) == 2
    assert "There is no step 'render-view'. Did you mean 'render-views'?" in capsys.readouterr().err
    assert command_line.main([]) == 2
