"""Ctrl-C and SIGTERM as requests that a run answers at its next step boundary. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, the polite end that schedulers and containers ask for, and a terminal that is closed."""

AGAIN = b"\nstopping as soon as this step is done; a second time stops at once and loses it\n"


class Stopped(BaseException):
    """A stop signal arrived where nothing has to be finished first; no `Exception`, so that nothing contains it."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped")
        self.number = number


class StopSignals:
    """Handlers of the stop signals while it is entered as a context.

    Outside of `deferred` a signal raises `Stopped`. Inside, the first one is only noted in `requested`, for whoever
    finishes the step, and a second one raises. Signals that are ignored, as by `nohup`, stay ignored. Handlers can be
    set in the main thread alone; in any other it does nothing. It may be entered again inside.
    """

    def __init__(self) -> None:
        self.requested = 0
        """Number of the signal that asked for the stop; 0: none did."""
        self._deferring = False
        self._depth = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self._depth += 1
        if self._depth == 1 and threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler is not signal.SIG_IGN and handler is not None:
                    self._before[number] = handler
            self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._before.clear()

    def install(self) -> None:
        """Set the handlers, again if a library has replaced them."""
        for number in self._before:
            signal.signal(number, self._handle)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Note a signal instead of raising."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def answer(self) -> None:
        """Raise `Stopped` if a signal was noted."""
        if self.requested:
            raise Stopped(self.requested)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.requested = bool(self.requested), number
        if again or not self._deferring:
            raise Stopped(number)
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            os.write(2, AGAIN)


def exit_code(number: int) -> int:
    """The exit code of a process that a signal has ended, as shells tell it: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number
