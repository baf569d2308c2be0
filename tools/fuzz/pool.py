"""Runs cases: this process imports everything once and forks a process for each command."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.case import Case, Command, Fault, Result, Verdict
from fuzz.child import ERR, FORBIDDEN, OUT, SENT, WORK, become_command
from fuzz.judge import judge
from fuzz.patience import Patience

POLL_S = 0.01
DUMP_S = 5.0
"""A command that is out of time is asked where it is, and is killed after this long."""
MOST_TEXT = 200_000
"""Characters of output that are looked at, from the end."""

Make = Callable[[int, Path], Case]
"""Writes the files of case `number` into a sandbox folder and returns the case."""


@dataclass
class Pool:
    """Keeps up to `jobs` cases running at a time."""

    root: Path
    """Folder for the cases; each is removed when it has held."""
    stock: Path
    jobs: int
    seconds: float
    """The time that a command has; see `Patience`."""
    keep: bool = False
    """Leave the folders of the cases."""
    running: list[_Running] = field(default_factory=list)

    def run(self, make: Make, family: str, numbers: Iterator[int]) -> Iterator[Verdict]:
        """Verdicts in the order in which the cases end."""
        exhausted = False
        while not exhausted or self.running:
            while not exhausted and len(self.running) < self.jobs:
                number = next(numbers, None)
                exhausted = number is None
                if number is not None:
                    self.running.append(self._begin(make, family, number))
            time.sleep(POLL_S)
            for item in list(self.running):
                if item.advance():
                    self.running.remove(item)
                    yield self._end(item)

    def stop(self) -> None:
        """Kill what still runs."""
        for item in self.running:
            item.kill()

    def _begin(self, make: Make, family: str, number: int) -> _Running:
        folder = self.root / f"{family}-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / WORK).mkdir(parents=True)
        item = _Running(make(number, folder / WORK), folder, self.stock, seconds=self.seconds)
        item.start()
        item.before = frozenset(path.name for path in folder.iterdir())
        return item

    def _end(self, item: _Running) -> Verdict:
        stray = sorted(path.name for path in item.folder.iterdir() if path.name not in item.before)
        verdict = judge(item.case, item.results, stray, item.wrong)
        if not self.keep:
            shutil.rmtree(item.folder, ignore_errors=True)
        return verdict


@dataclass
class _Running:
    """A case on its way through its commands, and at last its `verify`."""

    case: Case
    folder: Path
    stock: Path
    results: list[Result] = field(default_factory=list)
    wrong: list[Fault] = field(default_factory=list)
    at: int = 0
    pid: int = 0
    started: float = 0.0
    before: frozenset[str] = frozenset()
    """Names of what stood beside the sandbox at the start."""
    seconds: float = 60.0
    """The time that a command has; see `Patience`."""
    patience: Patience | None = None
    timed_out: bool = False
    asked: float = 0.0
    """The time at which it was asked where it is."""

    def start(self) -> None:
        """Fork the process of the command that is next."""
        for name in (OUT, ERR, FORBIDDEN):
            (self.folder / name).write_bytes(b"")
        (self.folder / WORK / SENT).unlink(missing_ok=True)
        self.started, self.timed_out = time.monotonic(), False
        pid = os.fork()
        if pid == 0:
            if self.at < len(self.case.commands):
                checked = self.case.reads == "checked"
                become_command(self.command, self.folder, self.stock, checked)
            self._verify()
        self.pid, self.patience = pid, Patience(pid, self.seconds, self.started)

    @property
    def command(self) -> Command:
        return self.case.commands[self.at]

    def advance(self) -> bool:
        """Look after the process; whether the case is done."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        now = time.monotonic()
        if pid == 0:
            if self.timed_out:
                if now - self.asked > DUMP_S:
                    self.kill()
            elif self.patience is not None and self.patience.is_over(now):
                self.timed_out, self.asked = True, now
                os.kill(self.pid, signal.SIGABRT)  # it writes where it is, and ends
            return False
        self.kill_group()
        if self.at >= len(self.case.commands):
            text = _tail(self.folder / OUT)
            self.wrong += [Fault(line, line, ("verify",)) for line in text.splitlines()]
            return True
        forbidden = dict.fromkeys(_tail(self.folder / FORBIDDEN).splitlines())
        self.results.append(
            Result(
                self.command, os.waitstatus_to_exitcode(status), now - self.started, usage.ru_maxrss * 1024,
                _tail(self.folder / OUT), _tail(self.folder / ERR), tuple(forbidden), self.timed_out,
                (self.folder / WORK / SENT).exists(),
            )
        )  # fmt: skip
        return not self._next()

    def _next(self) -> bool:
        """Start the next command that is to run; whether there is one."""
        before = self.results[-1]
        self.at += 1
        while self.at < len(self.case.commands) and self.command.only_after_success and before.code != 0:
            self.at += 1
        if self.at < len(self.case.commands) or (self.at == len(self.case.commands) and self.case.verify):
            self.start()
            return True
        return False

    def _verify(self) -> None:
        lines: list[str] = []
        try:
            assert self.case.verify is not None
            lines = self.case.verify(self.folder / WORK)
        except BaseException as error:
            lines = [f"cannot be verified: {type(error).__name__}: {error}"]
        finally:
            (self.folder / OUT).write_text("\n".join(lines))
            os._exit(0)

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def kill_group(self) -> None:
        """End what the process started and left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _tail(path: Path) -> str:
    if not path.is_file():
        return ""
    return path.read_bytes()[-MOST_TEXT:].decode("utf-8", "backslashreplace")
