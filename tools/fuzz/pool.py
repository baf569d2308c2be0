"""Pool of cases: this process imports everything once and forks a process per command."""

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
"""Seconds between the request for a stack dump of a command that is out of time, and its kill."""
MOST_TEXT = 200_000
"""Maximum number of characters of output that are read, from the end."""

Make = Callable[[int, Path], Case]
"""Function that writes the files of case `number` into a sandbox folder and returns the case."""


@dataclass
class Pool:
    """Runner of up to `jobs` cases at a time."""

    root: Path
    """Folder of the cases; each is removed afterwards unless `keep`."""
    stock: Path
    jobs: int
    seconds: float
    """Time limit of a command, seconds; see `Patience`."""
    keep: bool = False
    """Keep the folders of the cases."""
    running: list[_Running] = field(default_factory=list)

    def run(self, make: Make, family: str, numbers: Iterator[int]) -> Iterator[Verdict]:
        """Yield verdicts in the order in which the cases end."""
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
        """Kill all running commands."""
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
    """State of a case while its commands and its `verify` run."""

    case: Case
    folder: Path
    stock: Path
    results: list[Result] = field(default_factory=list)
    wrong: list[Fault] = field(default_factory=list)
    at: int = 0
    pid: int = 0
    started: float = 0.0
    before: frozenset[str] = frozenset()
    """Names of the files beside the sandbox at the start."""
    seconds: float = 60.0
    """Time limit of a command, seconds; see `Patience`."""
    patience: Patience | None = None
    timed_out: bool = False
    asked: float = 0.0
    """Time at which the stack dump was requested."""

    def start(self) -> None:
        """Fork the process of the next command."""
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
        """Poll the process; return whether the case is done."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        now = time.monotonic()
        if pid == 0:
            if self.timed_out:
                if now - self.asked > DUMP_S:
                    self.kill()
            elif self.patience is not None and self.patience.is_over(now):
                self.timed_out, self.asked = True, now
                os.kill(self.pid, signal.SIGABRT)  # it dumps its stack and ends
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
        """Start the next command, if any; return whether there was one."""
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
        """Kill the process immediately."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def kill_group(self) -> None:
        """Kill processes that the command started and left behind."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _tail(path: Path) -> str:
    if not path.is_file():
        return ""
    return path.read_bytes()[-MOST_TEXT:].decode("utf-8", "backslashreplace")
