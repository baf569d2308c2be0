"""Tests of two processes in one run folder."""

import json
import os
import subprocess
import sys

import pytest

from bozzetto.engine.run_lock import HOLDER, LOCK, locked
from bozzetto.errors import RunFolderError

HOLD = """
import sys, time
from pathlib import Path
from bozzetto.engine.run_lock import locked
with locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(60)
"""


def take(folder):
    with locked(folder, print):
        pass


def test_the_second_is_told_who_holds_it_and_a_killed_one_holds_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match=rf"is in use by process {holder.pid} on .* since 20"):
            take(tmp_path)
        holder.kill()
        holder.wait()
        with locked(tmp_path, print):
            assert json.loads((tmp_path / HOLDER).read_text())["process"] == os.getpid()


def test_it_is_free_again_afterwards(tmp_path):
    for _ in range(2):
        with locked(tmp_path, print):
            assert (tmp_path / LOCK).exists()
    assert not (tmp_path / HOLDER).exists()


def test_a_damaged_note_of_the_holder_is_no_error(tmp_path):
    with locked(tmp_path, print):
        (tmp_path / HOLDER).write_text("{")
        with pytest.raises(RunFolderError, match="is in use by another process"), locked(tmp_path, print):
            pass
