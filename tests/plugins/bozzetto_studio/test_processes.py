"""Tests of processes: told from later ones of the same number, and living on without their starter."""

import os
import subprocess
import sys
import time
from dataclasses import replace

from bozzetto_studio.processes import Process, answer, began_s, process, start


def test_a_process_is_alive_until_it_ends():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = process(child.pid)
    assert found.alive and abs(time.time() - began_s(found)) < 30.0
    assert not replace(found, began="1 another-boot").alive  # another one of the same number
    child.stdin.close()
    while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.01)
    assert process(child.pid) is None  # it has ended, and nobody has waited for it
    child.wait()
    assert not found.alive
    found.stop()  # sends nothing


def test_numbers_of_groups_are_no_processes():
    assert process(0) is None and process(-1) is None and not Process(os.getpid(), "").alive


def test_an_answer_is_what_was_printed_or_the_error(command_line):
    good = answer(["run", "--dry-run", "a=b c"])
    assert good.code == 0 and good.text == "recipe    run --dry-run a=b c\nmemory    about 0.2 GB"
    bad = answer(["run", "seed=no"])
    assert bad.code == 1 and "error: --config: seed: must be a number, got 'no'.\nSee the help." in bad.text


def test_a_started_process_outlives_its_starter(tmp_path, monkeypatch, wait_until):
    log = tmp_path / "log"
    code = (
        "import sys, pathlib\nimport bozzetto_studio.processes as p\n"
        "p.BOZZETTO = (sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(60)')\n"
        f"found = p.start(['x', 'a b'], pathlib.Path({str(log)!r}))\nprint(found.number, found.began)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    number, began = done.stdout.strip().split(" ", 1)
    found = Process(int(number), began)
    try:
        assert found.alive and os.getsid(found.number) == found.number
        wait_until(lambda: log.read_text() == "$ bozzetto x 'a b'\n1\n", "its log")
    finally:
        found.stop()
    wait_until(lambda: not found.alive, "it has ended")


def test_an_ended_child_is_not_alive(command_line, tmp_path, wait_until):
    found = start(["run", "seed=no"], tmp_path / "log")
    wait_until(lambda: not found.alive, "it has ended")


def test_the_command_line_is_started_as_a_module():
    import bozzetto

    assert answer(["--version"]).text == f"bozzetto {bozzetto.__version__}"
    refused = answer(["check", "no-such-recipe"])
    assert refused.code == 2 and refused.text.startswith("error: There is no recipe 'no-such-recipe'.")
