"""Tests of the order and number of runs, and of the partial times of a clock."""

from __future__ import annotations

import pytest

from bozzetto_bench.clock import Clock, replaced
from bozzetto_bench.timing import interleaved


def test_candidates_run_in_turn_after_a_warm_up(ticking) -> None:
    order: list[str] = []
    found = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 4, now=ticking)
    assert order == ["a", "b"] * 5
    assert {name: (timing.median, timing.fastest, timing.repeats) for name, timing in found.items()} == {
        "a": (1.0, 1.0, 4),
        "b": (1.0, 1.0, 4),
    }


def test_a_slow_candidate_leaves_after_three_rounds(ticking) -> None:
    found = interleaved({"slow": lambda: [ticking() for _ in range(10)], "fast": lambda: None}, 6, 8.0, ticking)
    assert (found["slow"].repeats, found["fast"].repeats) == (3, 6)
    assert found["slow"].median == 11.0


def test_each_second_counts_for_the_innermost_part(ticking) -> None:
    clock = Clock(ticking)  # readings: start 0, open 1, open 2, close 3, close 4, stop 5
    clock.start()
    clock.open("outer")
    clock.open("inner")
    clock.close("inner")
    clock.close("outer")
    clock.stop()
    assert clock.steps == [{"outer": 2.0, "inner": 1.0, "step": 5.0}]


def test_what_a_part_took_so_far_can_be_another_ones(ticking) -> None:
    clock = Clock(ticking)
    clock.start()
    run = clock.timed("backward", lambda: [ticking(), ticking(), clock.move("backward", "prior: backward")])
    run()
    clock.stop()
    assert clock.steps == [{"prior: backward": 3.0, "backward": 1.0, "step": 6.0}]


def test_a_part_that_fails_is_closed(ticking) -> None:
    clock = Clock(ticking)
    clock.start()
    with pytest.raises(ZeroDivisionError):
        clock.timed("part", lambda: 1 / 0)()
    clock.open("next")
    clock.close("next")
    clock.stop()
    assert clock.steps[0]["part"] == 1.0


def test_replaced_attributes_come_back() -> None:
    class Owner:
        def method(self) -> str:
            return "class"

    owner = Owner()
    with replaced(owner, "method", lambda: "outer"), replaced(owner, "method", lambda: "inner"):
        assert owner.method() == "inner"
    assert owner.method() == "class" and "method" not in vars(owner)
