"""Processes of the command line: one that is waited for, and ones that outlive the studio. Imports no torch."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BOZZETTO = (sys.executable, "-m", "bozzetto.cli")
"""Words before those of a command of Bozzetto."""
PROMPT = "$ bozzetto "
"""Beginning of the line in a log that is followed by what a command has printed."""
ANSWER_S = 180.0
"""Seconds that a dry run may take: it may ask for the sizes of models in the network."""
CLOCKS_S = 60.0
"""Seconds by which the clock may have been set since a process began."""


@dataclass(frozen=True)
class Process:
    """Process of this machine, told from a later one of the same number by when it began."""

    number: int
    began: str
    """Clock ticks since the start of the machine, and an identifier of that start; empty: not known here."""

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return process(self.number) == self

    def stop(self) -> None:
        """Ask it to stop, as SIGTERM and Ctrl-C do: after the step, with its state saved; a second time at once."""
        if self.alive:
            os.kill(self.number, signal.SIGTERM)


@dataclass(frozen=True)
class Answer:
    """Result of a command that was waited for."""

    code: int
    text: str
    """Standard output if it succeeded, otherwise what it said of the error."""


def process(number: int) -> Process | None:
    """Return a running process by its number; None: there is none, or it has ended and nobody has noticed yet."""
    if number <= 0:  # these mean groups of processes
        return None
    try:
        state, *rest = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None if Path("/proc/self/stat").exists() or not _exists(number) else Process(number, "")
    return None if state in ("Z", "X") else Process(number, f"{rest[18]} {boot}")


def began_s(found: Process) -> float:
    """Return when a process began, seconds since the epoch; 0: not known here."""
    ticks = found.began.partition(" ")[0]
    if not ticks:
        return 0.0
    since_boot = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return time.time() - since_boot + int(ticks) / os.sysconf("SC_CLK_TCK")


def answer(words: Sequence[str]) -> Answer:
    """Run a command of Bozzetto, wait for it, and return what it says."""
    try:
        done = subprocess.run(
            [*BOZZETTO, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Answer(1, f"error: It took longer than {ANSWER_S:g} s: bozzetto {' '.join(words)}")
    out, err = (stream.decode("utf-8", "replace").strip("\n") for stream in (done.stdout, done.stderr))
    return Answer(done.returncode, out if done.returncode == 0 else err or out)


def start(words: Sequence[str], log: Path) -> Process:
    """Start a command of Bozzetto in a session of its own, which lives on without the studio.

    Args:
        log: file to which all that it prints is appended.
    """
    with log.open("ab") as stream:
        stream.write(f"{PROMPT}{shlex.join(words)}\n".encode())
        stream.flush()
        child = subprocess.Popen(
            [*BOZZETTO, *words], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )
    found = process(child.pid) or Process(child.pid, "ended")
    threading.Thread(target=child.wait, name=f"wait-{child.pid}", daemon=True).start()  # or it would stay a zombie
    return found


def _exists(number: int) -> bool:
    try:
        os.kill(number, 0)  # sends nothing, but fails if there is no such process
    except PermissionError:  # it is another user's
        return True
    except OSError:
        return False
    return True
