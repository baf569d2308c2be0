"""Clock for the parts of a training step. Parts may nest; time is attributed to the innermost one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bozzetto_bench.timing import Now, synchronize


class Clock:
    """Records the seconds spent in each part, per step."""

    def __init__(self, now: Now) -> None:
        self._clock = now
        self.steps: list[dict[str, float]] = []
        """Seconds by part of each finished step; the key `step` is the whole step."""
        self._running: dict[str, float] = {}
        self._stack: list[str] = []
        self._since = self._start = 0.0

    def start(self) -> None:
        """Begin a step."""
        self._running, self._stack = {}, []
        self._start = self._since = self._now()

    def stop(self) -> None:
        """Finish the current step and record it."""
        self._running["step"] = self._now() - self._start
        self.steps.append(self._running)

    def open(self, part: str) -> None:
        """Attribute time to `part` from now on."""
        self._book()
        self._stack.append(part)

    def close(self, part: str) -> None:
        """Attribute time to the enclosing part again."""
        self._book()
        if self._stack and self._stack[-1] == part:
            self._stack.pop()

    def move(self, part: str, other: str) -> None:
        """Reattribute the time of the running part so far to `other`."""
        self._book()
        self._running[other] = self._running.get(other, 0.0) + self._running.pop(part, 0.0)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, positional arguments only, with its time attributed to `part`."""

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
    """Replace an attribute within a context; an inherited attribute is removed from the instance afterwards."""
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
