"""Handles Ctrl-C and SIGTERM as requests to stop at the next step boundary. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, the termination request of schedulers and containers, and a closed terminal."""

AGAIN = b"\nstopping as soon as this step is done; a second time stops at once and loses it\n"


class Stopped(BaseException):
    """Raised by a stop signal outside of a step; not an `Exception`, so that nothing contains it."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped")
        self.number = number


class StopSignals:
    """Context with handlers of the stop signals.

    Outside `deferred` a signal raises `Stopped`. Inside, the first one is only recorded in `requested`, to be handled
    at the end of the step, and a second one raises. Ignored signals, as by `nohup`, stay ignored. Handlers can be
    installed in the main thread only; elsewhere the context does nothing. It is reentrant.
    """

    def __init__(self) -> None:
        self.requested = 0
        """Number of the received signal; 0: none."""
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
        """Install the handlers; again if a library has replaced them."""
        for number in self._before:
            signal.signal(number, self._handle)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Record a signal instead of raising."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def answer(self) -> None:
        """Raise `Stopped` if a signal was recorded."""
        if self.requested:
            raise Stopped(self.requested)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.requested = bool(self.requested), number
        if again or not self._deferring:
            raise Stopped(number)
        with contextlib.suppress(OSError):  # the terminal itself may be gone
            os.write(2, AGAIN)


def exit_code(number: int) -> int:
    """Return the exit code of a process ended by a signal, as in shells: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number
