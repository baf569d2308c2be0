"""Tests of the seconds of a stage by part."""

from __future__ import annotations

import math

import pytest

from bozzetto.engine.laps import TRAINING, Lapped, Laps


class Acting:
    """Observer that takes its time."""

    def __init__(self, clock):
        self.clock, self.closed = clock, False

    def after_step(self, done, system):
        self.clock.now += 3.0

    def close(self):
        self.closed = True


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_time_goes_to_the_part_that_took_it(tiny):
    clock, system = Clock(), tiny.system(tiny.recipe())
    laps = Laps(clock)
    clock.now += 2.0
    laps.lap("building")
    acting = Lapped(Acting(clock), "pictures", laps)
    for step in (1, 2):
        clock.now += 10.0
        acting.after_step(step, system)
    acting.close()
    assert laps.seconds == {"building": 2.0, TRAINING: 20.0, "pictures": 6.0} and acting.observer.closed


@pytest.mark.parametrize(
    ("before", "added"),
    [
        (None, {"building": 1.5}),
        ({"building": 1.0, "metrics": 0.25}, {"building": 2.5, "metrics": 0.25}),
        ({"building": "long", "metrics": None}, {"building": 1.5}),
        ([3], {"building": 1.5}),
    ],
)
def test_sessions_of_a_stage_are_added(before, added):
    clock = Clock()
    laps = Laps(clock)
    clock.now += 1.5
    laps.lap("building")
    assert laps.added_to(before) == added
    assert not any(math.isnan(seconds) for seconds in added.values())
