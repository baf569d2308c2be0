"""Tests of progress: lines in a log, a bar in a terminal, a widget in a notebook."""

import io
import sys
from types import SimpleNamespace

import pytest

from bozzetto.engine.progress import LogLines, Progress, in_notebook
from bozzetto.engine.system import System


def system_with(told):
    """Return a system with these metrics, which is all that progress reads."""
    kind = type("Told", (System,), {"metrics": told})
    return kind.__new__(kind)


SYSTEM = system_with({"random/opacity": 0.25, "random/sds": 3.0})


class Terminal(io.StringIO):
    def isatty(self):
        return True


def trained(stream, seconds_per_step):
    clock = SimpleNamespace(s=0.0)
    progress = Progress("main", 100, 40, stream=stream, now=lambda: clock.s)
    for done in range(41, 101):
        clock.s += seconds_per_step
        progress.after_step(done, SYSTEM)
    progress.close()
    return stream.getvalue()


def test_a_log_gets_a_line_every_ten_seconds_and_at_the_end():
    lines = trained(io.StringIO(), 0.5).splitlines()
    assert lines == [
        "main  step 60 of 100 (60 %)  2.00 steps/s  00:20 left  opacity 0.250",
        "main  step 80 of 100 (80 %)  2.00 steps/s  00:10 left  opacity 0.250",
        "main  step 100 of 100 (100 %)  2.00 steps/s  00:00 left  opacity 0.250",
    ]


def test_slow_steps_get_a_line_each():
    assert len(trained(io.StringIO(), 30.0).splitlines()) == 60


def test_opacities_are_read_now_and_then_and_at_the_end():
    read = []

    class Counted(dict):
        def items(self):
            read.append(1)
            return super().items()

    system = system_with(Counted({"random/opacity": 0.25}))
    progress, reads_after = Progress("main", 10, 0, every=4, stream=io.StringIO()), []
    for done in range(1, 11):
        progress.after_step(done, system)
        reads_after.append(len(read))
    assert reads_after == [0, 0, 0, 1, 1, 1, 1, 2, 2, 3]


def test_a_terminal_gets_a_bar():
    assert "\r" in trained(Terminal(), 0.5)


@pytest.mark.parametrize(("shell", "expected"), [("ZMQInteractiveShell", True), ("TerminalInteractiveShell", False)])
def test_only_a_notebook_with_widgets_gets_one(monkeypatch, shell, expected):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: type(shell, (), {})()))
    monkeypatch.setattr("bozzetto.engine.progress._has_widgets", lambda: True)
    assert in_notebook() is expected
    monkeypatch.setattr("bozzetto.engine.progress._has_widgets", lambda: False)
    assert not in_notebook()


def test_outside_of_a_notebook_nothing_is_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook() and "IPython" not in sys.modules
    assert isinstance(Progress("main", 3, 0, stream=io.StringIO()).bar, LogLines)
