"""Tests of `bozzetto report`, and of what its help imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bozzetto.cli import main


def test_help_and_observer_import_little():
    code = (
        "import argparse, sys, bozzetto_report.command as c, bozzetto_report.observer; p = argparse.ArgumentParser(); "
        "c.add_arguments(p); heavy = {'torch', 'jinja2', 'trimesh', 'numpy', 'PIL'} & set(sys.modules); "
        "sys.exit('--out' not in p.format_help() or str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_run_and_several(fake_run, tmp_path, capsys, monkeypatch):
    one, two = str(fake_run("one")), str(fake_run("two"))
    monkeypatch.chdir(tmp_path)
    assert main(["report", one]) == 0
    assert f"wrote     {one}/report.html" in capsys.readouterr().out
    assert main(["report", one, "--out", "page.html"]) == 0 and (tmp_path / "page.html").is_file()
    assert main(["report", one, two]) == 0 and (tmp_path / "comparison.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{run}", "--out", "{run}"], "is a folder"),
        (["{run}", "--out", "{run}/no/page.html"], "there is no folder"),
        (["{run}/images"], "is not a run folder"),
    ],
)
def test_mistakes_are_one_line(fake_run, capsys, arguments, words):
    run = str(fake_run())
    assert main(["report", *(argument.format(run=run) for argument in arguments)]) == 2
    assert words in capsys.readouterr().err
