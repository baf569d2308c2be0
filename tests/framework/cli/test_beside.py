"""Tests of commands beside a run: chosen by name, started with the run, ended with it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bozzetto.cli.beside import Beside, running, take_beside
from bozzetto.cli.entry import main, run_parser
from bozzetto.errors import UserError

MANIFEST = """
from bozzetto.commands import CommandSpec
WATCHER = CommandSpec("watcher_command", "watch a run", beside_run=True)
OTHER = CommandSpec("watcher_command", "do something else")
"""
COMMAND = """
import pathlib, time
def add_arguments(parser):
    parser.add_argument("run")
    parser.add_argument("--port", type=int, default=1)
def run(options, host):
    pathlib.Path(options.run, "watched").write_text(str(options.port))
    try:
        time.sleep(120)
    finally:
        pathlib.Path(options.run, "ended").write_text("")
    return 0
"""


@pytest.fixture
def watcher(tmp_path, monkeypatch):
    (tmp_path / "watcher_manifest.py").write_text(MANIFEST)
    (tmp_path / "watcher_command.py").write_text(COMMAND)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    commands = "watcher=watcher_manifest:WATCHER,other=watcher_manifest:OTHER"
    monkeypatch.setenv("BOZZETTO_COMMANDS", commands)
    (folder := tmp_path / "run").mkdir()
    return folder


def wait_for(path):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.05)
    return path


def test_options_of_run_are_split_from_commands_beside_it(watcher):
    words = ["--config", "x", "--watcher", "prompt=a --watcher", "--profile=cpu", "--watcher=--port 9", "--unknown"]
    left, beside = take_beside(words, run_parser())
    assert left == ["--config", "x", "prompt=a --watcher", "--profile=cpu", "--unknown"]
    assert beside == (Beside("watcher", ()), Beside("watcher", ("--port", "9")))


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("--other", "--other: the command 'other' does not run beside a training. See bozzetto other --help"),
        ("--watcher=--porto 3", "--watcher: There is no option '--porto'. Did you mean '--port'?"),
        ("--watcher=--port x", "--watcher: Argument --port: invalid int value"),
        ("--watcher='", "is no list of options: No closing quotation"),
    ],
)
def test_what_cannot_run_beside_is_refused_before_the_run_starts(watcher, word, why):
    with pytest.raises(UserError) as refused:
        take_beside([word], run_parser())
    assert why in str(refused.value)


def test_an_unknown_option_is_still_told_as_one_of_run(watcher, capsys):
    assert main(["run", "--config", "x", "--watchers"]) == 2
    assert "There is no option '--watchers'" in capsys.readouterr().err


def test_help_lists_them(watcher, capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "--watcher: watch a run" in " ".join(capsys.readouterr().out.split())


def test_a_command_is_started_with_the_run_and_ended_with_it(watcher):
    with running([Beside("watcher", ("--port", "7"))], watcher):
        assert wait_for(watcher / "watched").read_text() == "7"
    assert (watcher / "ended").exists()


def test_a_command_ends_when_the_run_is_killed(watcher):
    code = (
        "import sys, time, pathlib\nfrom bozzetto.cli.beside import Beside, running\n"
        "with running([Beside('watcher', ())], pathlib.Path(sys.argv[1])): time.sleep(120)"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(watcher)])
    wait_for(watcher / "watched")
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    wait_for(watcher / "ended")


def test_a_run_without_such_an_option_looks_for_no_commands(monkeypatch):
    monkeypatch.setattr("bozzetto.cli.beside.PackageCommands.installed", lambda *_: pytest.fail("looked"))
    assert take_beside(["--config", "x", "prompt=a", "--dry-run"], run_parser()) == (
        ["--config", "x", "prompt=a", "--dry-run"], (),
    )  # fmt: skip
