"""Tests of the report that a run writes at its end: it is named, it can be turned off, and its failure is told."""

from __future__ import annotations

import pytest

from bozzetto.engine.loop import Loop
from bozzetto.errors import NonFiniteError
from bozzetto_report import page

SHORT = {"trainer": {"steps": 2, "image_every": 1}, "export": None, "report": True}


def test_a_run_ends_with_its_report(tiny):
    run = tiny.pipeline(recipe := tiny.recipe(SHORT))
    report = run.folder.path / "report.html"
    assert run.run(recipe) == [report]
    text = report.read_text(encoding="utf-8")
    assert "a hamburger" in text and "finished" in text and "random/sds" in text and "checkpoints" in text


def test_a_run_that_fails_writes_it_too(tiny, monkeypatch):
    def fail(loop):
        raise NonFiniteError("loss random/sds is <nan>")

    monkeypatch.setattr(Loop, "step", fail)
    run = tiny.pipeline(recipe := tiny.recipe(SHORT))
    with pytest.raises(NonFiniteError):
        run.run(recipe)
    text = (run.folder.path / "report.html").read_text(encoding="utf-8")
    assert "loss random/sds is &lt;nan&gt;" in text and f"wrote     {run.folder.path / 'report.html'}" in tiny.said


def test_it_can_be_turned_off(tiny):
    run = tiny.pipeline(recipe := tiny.recipe({**SHORT, "report": False}))
    assert run.run(recipe) == [] and not (run.folder.path / "report.html").exists()


def test_a_report_that_fails_is_told_and_the_run_is_finished(tiny, monkeypatch):
    def full(run, registry):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "report_html", full)
    run = tiny.pipeline(recipe := tiny.recipe(SHORT))
    assert run.run(recipe) == [] and run.folder.finished("main", 2)
    assert any("report failed in bozzetto_run_finished, the run goes on: OSError" in line for line in tiny.said)
