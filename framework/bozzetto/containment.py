"""Runs code of a plugin so that nothing it raises, and no import that never ends, gets further than its caller.

What cannot be contained: a plugin that ends the process itself (`os._exit`, a crash in its native code), and native
code that holds the interpreter's lock for ever. `BOZZETTO_DISABLE` leaves such a plugin out. Imports no torch.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

LIMIT_S = 10.0
"""The time, in seconds, that listing a plugin, or importing a config of it, may take."""
STRIKES = 5
"""A plugin that catches so many alarms, `ALARM_S` apart, ends the process."""
ALARM_S = 0.5
NATIVE_GRACE_S = 50.0
"""The further seconds given to native code, which an alarm cannot interrupt, before the process ends."""


class Outcome(Generic[T]):
    """The result of contained code, or the reason why there is none."""

    def __init__(self, value: T | None = None, fault: BaseException | None = None) -> None:
        self.value, self.fault = value, fault

    def unwrap(self) -> T:
        """The value, or the fault raised."""
        if self.fault is not None:
            raise self.fault
        return cast(T, self.value)


def contained(work: Callable[[], T], owner: str, limit_s: float | None = None) -> Outcome[T]:
    """Run `work`, code of a plugin: whatever it raises is returned, `KeyboardInterrupt` and `SystemExit` too.

    A signal of the user is no fault of the plugin: what its handler raises, `KeyboardInterrupt` for Ctrl-C, is raised
    here, even if the plugin caught it.

    Args:
        owner: the plugin, for the message.
        limit_s: after so many seconds the fault is a `TimeoutError`. In the main thread an alarm interrupts the work,
            so that imports which need that thread have it; elsewhere, or without alarms, it runs in a thread that is
            left behind. None: no limit.
    """
    main = threading.current_thread() is threading.main_thread()
    with _signals_kept_apart(main) as stops:
        if limit_s is None:
            outcome = _caught(work)
        elif main and hasattr(signal, "setitimer"):
            outcome = _under_alarm(work, owner, limit_s)
        else:
            outcome = _in_thread(work, owner, limit_s)
    if stops:
        raise stops[0]
    if outcome.fault is not None:
        outcome.fault = _speakable(outcome.fault)
    return outcome


def _caught(work: Callable[[], T]) -> Outcome[T]:
    try:
        return Outcome(work())
    except BaseException as fault:
        return Outcome(fault=fault)


@contextmanager
def _signals_kept_apart(main: bool) -> Iterator[list[BaseException]]:
    """Notes what the handlers of Ctrl-C and SIGTERM raise meanwhile; signals reach the main thread alone."""
    stops: list[BaseException] = []
    kept: list[tuple[int, Callable[[int, FrameType | None], Any], Any]] = []

    def noting(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def note(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as stop:
                stops.append(stop)
                raise

        return note

    for wanted in (signal.SIGINT, signal.SIGTERM) if main else ():
        if callable(handler := signal.getsignal(wanted)):
            kept.append((wanted, noting(handler), handler))
    try:
        for number, note, _ in kept:
            signal.signal(number, note)
        yield stops
    finally:
        for number, note, handler in kept:
            if signal.getsignal(number) is note:  # unless the plugin has set one of its own
                signal.signal(number, handler)


class _OutOfTime(BaseException):
    """Raised by the alarm; no `Exception`, so that `except Exception` in a plugin lets it through."""


def _under_alarm(work: Callable[[], T], owner: str, limit_s: float) -> Outcome[T]:
    strikes, running = 0, True

    def alarm(number: int, frame: FrameType | None) -> None:
        nonlocal strikes
        if not running:
            return
        strikes += 1
        if strikes > STRIKES:
            _end_process(owner)
        raise _OutOfTime

    native = threading.Timer(limit_s + NATIVE_GRACE_S, _end_process, (owner,))
    native.daemon = True
    before, started = signal.signal(signal.SIGALRM, alarm), time.monotonic()
    outer_s, outer_every_s = signal.setitimer(signal.ITIMER_REAL, limit_s, ALARM_S)
    native.start()
    try:
        outcome = _caught(work)
        running = False
    except _OutOfTime:  # between the end of the work and the line above
        outcome = Outcome(fault=_OutOfTime())
    finally:
        running = False
        native.cancel()
        if signal.getsignal(signal.SIGALRM) is alarm:  # unless the plugin has set one of its own
            left_s = max(outer_s - (time.monotonic() - started), 0.001) if outer_s else 0.0
            signal.setitimer(signal.ITIMER_REAL, left_s, outer_every_s)
            signal.signal(signal.SIGALRM, before)
    late = outcome.fault is not None and strikes > 0
    return Outcome(fault=_too_long(limit_s)) if late else outcome


def _in_thread(work: Callable[[], T], owner: str, limit_s: float) -> Outcome[T]:
    found: list[Outcome[T]] = []
    thread = threading.Thread(target=lambda: found.append(_caught(work)), name=owner, daemon=True)
    thread.start()
    thread.join(limit_s)
    return found[0] if found else Outcome(fault=_too_long(limit_s))


def _too_long(limit_s: float) -> TimeoutError:
    return TimeoutError(f"it took longer than {limit_s:g} s (BOZZETTO_PLUGIN_SECONDS sets the limit)")


def _end_process(owner: str) -> None:
    """End the process, with a message, because of a plugin that nothing else stops."""
    dist = owner.partition(":")[0]
    text = f"error: the plugin {owner} cannot be stopped. Leave it out: BOZZETTO_DISABLE={dist}\n"
    os.write(2, text.encode("utf-8", "replace"))
    sys.stdout.flush() if sys.stdout else None
    os._exit(2)


def _speakable(fault: BaseException) -> BaseException:
    """The fault itself, unless asking for its message raises."""
    try:
        str(fault)
    except BaseException:
        return RuntimeError(f"{type(fault).__name__}, whose message cannot be read")
    return fault
