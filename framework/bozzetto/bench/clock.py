"""A clock for the parts of a step. Parts may lie inside each other: each second counts for the innermost one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bozzetto.bench.timing import Now, synchronize


class Clock:
    """Seconds by part, step after step."""

    def __init__(self, now: Now) -> None:
        self._clock = now
        self.steps: list[dict[str, float]] = []
        """Finished steps; `step` is the whole."""
        self._running: dict[str, float] = {}
        self._stack: list[str] = []
        self._since = self._start = 0.0

    def start(self) -> None:
        """A step begins."""
        self._running, self._stack = {}, []
        self._start = self._since = self._now()

    def stop(self) -> None:
        """The step is over."""
        self._running["step"] = self._now() - self._start
        self.steps.append(self._running)

    def open(self, part: str) -> None:
        """From here on time belongs to `part`."""
        self._book()
        self._stack.append(part)

    def close(self, part: str) -> None:
        """From here on time belongs to what surrounds `part` again."""
        self._book()
        if self._stack and self._stack[-1] == part:
            self._stack.pop()

    def move(self, part: str, other: str) -> None:
        """What the running part has taken so far was really `other`."""
        self._book()
        self._running[other] = self._running.get(other, 0.0) + self._running.pop(part, 0.0)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, called by position, with its time booked on `part`."""

        @functools.wraps(function, updated=())
        def run(*arguments: Any) -> Any:
            self.open(part)
            try:
                return function(*arguments)
            finally:
                self.close(part)

        return run

    def _book(self) -> None:
        now = self._now()
        if self._stack:
            part = self._stack[-1]
            self._running[part] = self._running.get(part, 0.0) + now - self._since
        self._since = now

    def _now(self) -> float:
        synchronize()
        return self._clock()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute exchanged for a while; one that the owner's class gave is the class's again afterwards."""
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)
