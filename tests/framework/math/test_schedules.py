"""Tests of schedules at their ends, borders and middles."""

import math

import pytest

from bozzetto.math.schedules import Schedule


def test_a_number_is_constant():
    assert [Schedule.parse(3).at(step) for step in (0, 1, 10**9)] == [3.0, 3.0, 3.0]


def test_linear_holds_start_until_start_step_and_end_from_until_step():
    ramp = Schedule.parse({"from": 10, "to": 1000, "start_step": 100, "until_step": 200})
    assert [ramp.at(step) for step in (0, 100, 150, 200, 999)] == [10.0, 10.0, 505.0, 1000.0, 1000.0]


def test_a_jump_when_both_steps_are_equal():
    jump = Schedule(0.0, 1.0, 5, 5)
    assert [jump.at(4), jump.at(5)] == [0.0, 1.0]


def test_curves_at_a_quarter():
    def at(curve):
        return Schedule(1.0, 16.0, 0, 4, curve).at(1)

    assert at("linear") == pytest.approx(1 + 15 * 0.25)
    assert at("exponential") == pytest.approx(2.0)
    assert at("sqrt") == pytest.approx(1 + 15 * 0.5)
    assert at("cosine") == pytest.approx(1 + 15 * 0.5 * (1 - math.cos(math.pi / 4)))


def test_yaml_round_trip():
    for schedule in (Schedule.constant(2.0), Schedule(1.0, 2.0, 3, 4, "sqrt")):
        assert Schedule.parse(schedule.as_yaml()) == schedule


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fast", "expected a number or"),
        ({"from": 1, "to": 2, "until_step": 10, "curves": "linear"}, "'curves' is not a field"),
        ({"from": 1, "to": 2, "until_step": 10, "curve": "bezier"}, "curve 'bezier' is not one of"),
        ({"from": 1, "to": 2, "until_step": 10, "start_step": 20}, "0 <= start_step <= until_step"),
        ({"from": 0, "to": 2, "until_step": 10, "curve": "exponential"}, "needs positive"),
        ({"from": "a", "to": 2, "until_step": 10}, "'from' must be a number"),
        (True, "expected a number"),
    ],
)
def test_errors(value, message):
    with pytest.raises(ValueError, match=message):
        Schedule.parse(value)


@pytest.mark.parametrize("value", [10**400, {"from": 1, "to": 10**400, "until_step": 5}])
def test_a_whole_number_of_hundreds_of_digits_is_no_number(value):
    with pytest.raises(ValueError, match="expected a finite number"):
        Schedule.parse(value)
