"""Runs code of a plugin so that its exceptions and endless imports are contained.

Not contained are plugins that end the process (`os._exit`, a crash in native code), and native code that never releases
the interpreter's lock. `BOZZETTO_DISABLE` excludes such a plugin. Imports no torch.
"""

from __future__ import annotations

import contextlib
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
"""Time limit in seconds for listing a plugin, or importing a config of it."""
STRIKES = 5
"""Number of alarms, `ALARM_S` apart, that a plugin may catch before the process ends."""
ALARM_S = 0.5
NATIVE_GRACE_S = 50.0
"""Additional seconds for native code, which an alarm cannot interrupt, before the process ends."""


class Outcome(Generic[T]):
    """Result of contained code, or its exception."""

    def __init__(self, value: T | None = None, fault: BaseException | None = None) -> None:
        self.value, self.fault = value, fault

    def unwrap(self) -> T:
        """Return the value, or raise the exception."""
        if self.fault is not None:
            raise self.fault
        return cast(T, self.value)


def contained(work: Callable[[], T], owner: str, limit_s: float | None = None) -> Outcome[T]:
    """Run `work`, code of a plugin, and return whatever it raises, including `KeyboardInterrupt` and `SystemExit`.

    Signals of the user are not faults of the plugin: what their handler raises, `KeyboardInterrupt` for Ctrl-C, is
    raised here, even if the plugin caught it.

    Args:
        owner: the plugin, for the message.
        limit_s: seconds after which the fault is a `TimeoutError`. In the main thread an alarm interrupts the work, so
            that imports which need that thread can run in it; elsewhere, or without alarms, it runs in a thread that is
            abandoned. None: no limit.
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


def quietly(work: Callable[[], T], owner: str, limit_s: float | None = None) -> Outcome[T]:
    """Run `contained` with standard output redirected to standard error, so that it does not corrupt `list --json`."""
    with contextlib.redirect_stdout(sys.stderr):
        return contained(work, owner, limit_s)


def _caught(work: Callable[[], T]) -> Outcome[T]:
    try:
        return Outcome(work())
    except BaseException as fault:
        return Outcome(fault=fault)


class _Noting:
    """Handler of a signal that records what the handler in whose place it is raises."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any], stops: list[BaseException]) -> None:
        self.handler, self.stops = handler, stops

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self.handler(number, frame)
        except BaseException as stop:
            self.stops.append(stop)
            raise


@contextmanager
def _signals_kept_apart(main: bool) -> Iterator[list[BaseException]]:
    """Record what the handlers of Ctrl-C and SIGTERM raise within the context; signals reach the main thread only."""
    stops: list[BaseException] = []
    kept: list[tuple[int, _Noting, Any]] = []
    for wanted in (signal.SIGINT, signal.SIGTERM) if main else ():
        if callable(handler := signal.getsignal(wanted)):
            kept.append((wanted, _Noting(handler, stops), handler))
    try:
        for number, note, _ in kept:
            signal.signal(number, note)
        yield stops
    finally:
        for number, note, handler in kept:
            if signal.getsignal(number) is note:  # unless the plugin has installed its own
                signal.signal(number, handler)


class _OutOfTime(BaseException):
    """Raised by the alarm; not an `Exception`, so that `except Exception` in a plugin does not catch it."""


class _Alarm:
    """Handler of the alarm: interrupts the work while it is running."""

    def __init__(self, owner: str) -> None:
        self.owner, self.strikes, self.running = owner, 0, False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.running:
            return
        self.strikes += 1
        if self.strikes > STRIKES:
            _end_process(self.owner)
        raise _OutOfTime


def _under_alarm(work: Callable[[], T], owner: str, limit_s: float) -> Outcome[T]:
    alarm = _Alarm(owner)
    native = threading.Timer(limit_s + NATIVE_GRACE_S, _end_process, (owner,))
    native.daemon = True
    before, started = signal.signal(signal.SIGALRM, alarm), time.monotonic()
    outer_s, outer_every_s = signal.setitimer(signal.ITIMER_REAL, limit_s, ALARM_S)
    try:
        native.start()  # may take longer than the limit on a crowded machine; the alarm raises only in the work
        alarm.running = True
        outcome = _caught(work)
        alarm.running = False
    except _OutOfTime:  # between the end of the work and the line above
        outcome = Outcome(fault=_OutOfTime())
    finally:
        alarm.running = False
        native.cancel()
        if signal.getsignal(signal.SIGALRM) is alarm:  # unless the plugin has installed its own
            left_s = max(outer_s - (time.monotonic() - started), 0.001) if outer_s else 0.0
            signal.setitimer(signal.ITIMER_REAL, left_s, outer_every_s)
            signal.signal(signal.SIGALRM, before)
    late = outcome.fault is not None and alarm.strikes > 0
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
    """End the process, with a message, because of a plugin that cannot be stopped."""
    dist = owner.partition(":")[0]
    text = f"error: the plugin {owner} cannot be stopped. Leave it out: BOZZETTO_DISABLE={dist}\n"
    os.write(2, text.encode("utf-8", "replace"))
    sys.stdout.flush() if sys.stdout else None
    os._exit(2)


def _speakable(fault: BaseException) -> BaseException:
    """Return the exception, or a substitute if its message cannot be read."""
    try:
        str(fault)
    except BaseException:
        return RuntimeError(f"{type(fault).__name__}, whose message cannot be read")
    return fault
