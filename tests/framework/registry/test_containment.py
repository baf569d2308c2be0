"""Tests of containment: exceptions of plugins are caught, those of the user's signals are not, hangs are ended."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bozzetto.registry.containment import contained


class Own(BaseException):
    """Exception that is not an `Exception`."""

    def __str__(self):
        raise ValueError("not even its message can be read")


def forever():
    while True:
        time.sleep(0.01)


def stubborn():
    while True:
        try:
            forever()
        except Exception:
            continue


@pytest.mark.parametrize(
    "raised", [RuntimeError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()]
)
@pytest.mark.parametrize("limit_s", [None, 30.0])
def test_whatever_is_raised_is_returned(raised, limit_s):
    def work():
        raise raised

    assert contained(work, "bad:main", limit_s).fault is raised


def test_a_message_that_cannot_be_read_is_replaced():
    def work():
        raise Own

    assert str(contained(work, "bad:main").fault) == "Own, whose message cannot be read"


@pytest.mark.parametrize("work", [forever, stubborn])
def test_what_takes_too_long_is_interrupted(work):
    started = time.monotonic()
    fault = contained(work, "slow:main", 0.2).fault
    assert isinstance(fault, TimeoutError) and "longer than 0.2 s (BOZZETTO_PLUGIN_SECONDS" in str(fault)
    assert time.monotonic() - started < 5.0


def test_it_runs_in_the_main_thread_where_there_is_a_choice():
    main = threading.main_thread()
    assert contained(threading.current_thread, "good:main", 30.0).value is main


def test_elsewhere_what_takes_too_long_is_left_behind():
    found, over = [], threading.Event()
    wait = lambda: over.wait(60.0)  # noqa: E731
    thread = threading.Thread(target=lambda: found.append(contained(wait, "slow:main", 0.1).fault))
    thread.start()
    thread.join(30.0)
    over.set()
    assert isinstance(found[0], TimeoutError)


def test_alarms_and_handlers_are_as_they_were_and_others_alarms_still_come():
    came = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: came.append(number))
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        contained(lambda: time.sleep(0.2), "good:main", 30.0)
        assert came == [] and signal.getsignal(signal.SIGINT) is interrupt
        time.sleep(0.1)
        assert came == [signal.SIGALRM] and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("swallowed", [False, True])
@pytest.mark.parametrize("limit_s", [None, 30.0])
def test_a_real_interrupt_is_raised_even_if_the_plugin_catches_it(swallowed, limit_s):
    def work():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1.0)
        except BaseException:
            if not swallowed:
                raise

    with pytest.raises(KeyboardInterrupt):
        contained(work, "bad:main", limit_s)


def test_a_handler_that_a_plugin_sets_stays():
    before = signal.getsignal(signal.SIGINT)
    mine = lambda number, frame: None  # noqa: E731
    try:
        contained(lambda: signal.signal(signal.SIGINT, mine), "good:main", 30.0)
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "work",
    [
        "def work():\n    while True:\n        try:\n            time.sleep(9)\n        except BaseException: pass",
        "def work(): os.system('exec sleep 20 >/dev/null 2>&1')",  # waits in native code, which no alarm interrupts
    ],
)
def test_what_nothing_interrupts_ends_the_process_with_the_name_of_the_plugin(work):
    code = (
        "import os, time\nfrom bozzetto.registry import containment\n"
        f"containment.NATIVE_GRACE_S = 0.5\ncontainment.ALARM_S = 0.02\n{work}\n"
        "containment.contained(work, 'bad:main', 0.1)\nprint('not reached')"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and time.monotonic() - started < 15.0
    assert done.stderr == "error: the plugin bad:main cannot be stopped. Leave it out: BOZZETTO_DISABLE=bad\n"


def test_a_slow_start_of_the_watch_leaves_no_alarm_behind(monkeypatch):
    start = threading.Timer.start
    monkeypatch.setattr(threading.Timer, "start", lambda timer: (time.sleep(0.3), start(timer)))
    before = signal.getsignal(signal.SIGALRM)
    outcome = contained(lambda: "found", "here:plugin", 0.05)
    assert outcome.value == "found" and outcome.fault is None
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
