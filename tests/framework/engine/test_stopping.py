"""Tests of Ctrl-C and SIGTERM: deferred during a step, raised elsewhere, and handlers restored."""

import os
import signal
import threading

import pytest

from bozzetto.engine.stopping import SIGNALS, Stopped, StopSignals, exit_code


@pytest.mark.parametrize("number", SIGNALS)
def test_outside_of_a_step_a_signal_raises_at_once(number):
    with StopSignals() as stop, pytest.raises(Stopped) as stopped:
        os.kill(os.getpid(), number)
    assert stopped.value.number == stop.requested == number


@pytest.mark.parametrize("number", SIGNALS)
def test_in_a_step_the_first_is_noted_and_the_second_raises(number, capfd):
    with StopSignals() as stop, stop.deferred():
        os.kill(os.getpid(), number)
        assert stop.requested == number and "a second time stops at once" in capfd.readouterr().err
        with pytest.raises(Stopped):
            os.kill(os.getpid(), number)


def test_what_was_noted_is_answered_on_demand():
    with StopSignals() as stop:
        with stop.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped) as stopped:
            stop.answer()
    assert stopped.value.number == signal.SIGTERM
    StopSignals().answer()


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested == 0 and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_are_put_back_by_the_outermost_and_set_again_on_demand():
    before = signal.getsignal(signal.SIGTERM)
    stop = StopSignals()
    with stop:
        ours = signal.getsignal(signal.SIGTERM)
        with stop:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            stop.install()
        assert signal.getsignal(signal.SIGTERM) == ours != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_another_thread_changes_no_handler():
    found = []

    def enter():
        with StopSignals():
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [before]


def test_nothing_contains_a_stop():
    assert not issubclass(Stopped, (Exception, KeyboardInterrupt))


def test_exit_codes_are_those_of_shells():
    assert (exit_code(signal.SIGINT), exit_code(signal.SIGTERM)) == (130, 143)
