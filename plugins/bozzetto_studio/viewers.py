"""Viewers of runs, started by `bozzetto view` and ended with the studio, in whatever way it ends. Imports no torch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bozzetto.errors import UserError
from bozzetto_studio.history import last_error, tail

MOST = 3
"""Viewers at a time; the oldest one ends when another is opened. Each has a scene in memory."""
READY_S = 120.0
"""Seconds in which one has to say its address."""
_ADDRESS = re.compile(r"^view      http://[^\s/]+?:(?P<port>\d+)/?(?P<query>\S*)$", re.MULTILINE)


@dataclass(frozen=True)
class _Viewer:
    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """Return what it has printed."""
        return tail(self.log)

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self.process.terminate()
        try:
            self.process.wait(10.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()
        self.log.unlink(missing_ok=True)


@dataclass
class Viewers:
    """Viewers that are open.

    Args:
        host: address on which they listen.
        token: what a browser has to know; empty: it has to be one of this machine.
    """

    host: str
    token: str
    _open: dict[Path, _Viewer] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def address(self, run: Path, seen_as: str) -> str:
        """Return the address of the viewer of a run, which is started if there is none.

        Args:
            seen_as: name by which the browser knows this machine.

        Raises:
            UserError: it does not start; as the command line says it.
        """
        with self._lock:
            viewer = self._open.get(run)
            if viewer is None or viewer.process.poll() is not None:
                self.close_one(run)
                while len(self._open) >= MOST:
                    self.close_one(next(iter(self._open)))
                viewer = self._open[run] = self._started(run)
            until = time.monotonic() + READY_S
            while time.monotonic() < until:
                ended = viewer.process.poll() is not None
                if (found := _ADDRESS.search(said := viewer.said())) is not None and not ended:
                    return f"http://{seen_as}:{found['port']}/{found['query']}"
                if ended:
                    raise UserError(last_error(said) or said.strip() or "The viewer has ended without a word.")
                time.sleep(0.1)
        raise UserError(f"The viewer has said no address for {READY_S:g} s. Try again: bozzetto view {run}")

    def close_one(self, run: Path) -> None:
        """End the viewer of a run, if there is one."""
        if (viewer := self._open.pop(run, None)) is not None:
            viewer.close()

    def close(self) -> None:
        """End all of them."""
        for run in list(self._open):
            self.close_one(run)

    def _started(self, run: Path) -> _Viewer:
        words = ["view", str(run.absolute()), "--port", "8081", "--host", self.host]
        words += ["--token", self.token] if self.token else []
        handle, name = tempfile.mkstemp(prefix="bozzetto-view-", suffix=".log")
        command = [sys.executable, "-m", "bozzetto.cli.beside", *words]  # ends when its standard input does
        with os.fdopen(handle, "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        return _Viewer(process, Path(name))
