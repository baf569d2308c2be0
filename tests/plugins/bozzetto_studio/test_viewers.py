"""Tests of viewers: opened once, ended with the studio, and their errors told."""

import sys

import pytest

from bozzetto.errors import UserError
from bozzetto_studio import viewers as module
from bozzetto_studio.viewers import MOST, Viewers

GOOD = "import sys\nprint('view      http://localhost:8082/?token=abc', flush=True)\nsys.stdin.read()"


@pytest.fixture
def viewers(monkeypatch):
    """Return viewers whose command is a piece of code, and the codes of those that are started."""
    started = []
    popen = module.subprocess.Popen

    def fake(command, **options):
        started.append(command[3:])
        return popen([sys.executable, "-c", made.code], **options)

    monkeypatch.setattr(module.subprocess, "Popen", fake)
    made = Viewers("0.0.0.0", "abc-token")
    made.code, made.started = GOOD, started
    yield made
    made.close()


def test_a_viewer_is_started_once_and_named_as_the_browser_knows_it(viewers, tmp_path):
    assert viewers.address(tmp_path / "a", "machine.example") == "http://machine.example:8082/?token=abc"
    assert viewers.address(tmp_path / "a", "[::1]") == "http://[::1]:8082/?token=abc"
    assert viewers.started == [
        ["view", str(tmp_path / "a"), "--port", "8081", "--host", "0.0.0.0", "--token", "abc-token"]
    ]


def test_the_oldest_ends_when_there_are_many_and_all_end_with_the_studio(viewers, tmp_path):
    for number in range(MOST + 1):
        viewers.address(tmp_path / str(number), "localhost")
    processes = [viewer.process for viewer in viewers._open.values()]
    assert len(processes) == MOST and tmp_path / "0" not in viewers._open
    viewers.close()
    assert all(process.poll() is not None for process in processes) and not viewers._open


@pytest.mark.parametrize(
    ("code", "why"), [("import sys; sys.exit('error: no viser')", "^no viser$"), ("pass", "without a word")]
)
def test_one_that_ends_says_why(viewers, tmp_path, code, why):
    viewers.code = code
    with pytest.raises(UserError, match=why):
        viewers.address(tmp_path, "localhost")
    viewers.code = GOOD
    assert viewers.address(tmp_path, "localhost").startswith("http://localhost:8082")
