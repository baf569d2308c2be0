"""Tests of numbers that are read together: order, values, and when checks are made."""

from functools import partial

import pytest
import torch

from bozzetto.errors import NonFiniteError
from bozzetto.readings import MOST_WAITING, Readings, check_later, require_finite


def test_waiting_checks_are_made_in_order_and_further_numbers_returned():
    readings, seen = Readings(), []
    for value in (1.0, 2.0):
        readings.add(torch.tensor(value), seen.append)
    assert readings.read([torch.tensor(7), torch.tensor(0.5, dtype=torch.float64)]) == [7.0, 0.5]
    assert seen == [1.0, 2.0] and readings.read() == []


def test_the_first_check_that_fails_raises_and_nothing_is_read_twice():
    readings = Readings()

    def refuse(step: int, count: float) -> None:
        if count:
            raise NonFiniteError(f"step {step}")

    for step, count in enumerate((0, 3, 5)):
        readings.add(torch.tensor(count), partial(refuse, step))
    with pytest.raises(NonFiniteError, match="step 1"):
        readings.read()
    assert readings.read() == []


def test_in_main_memory_checks_are_made_at_once():
    readings, seen = Readings(), []
    with readings.collecting():
        check_later(torch.tensor(4.0), seen.append)
        assert seen == [4.0]
        with pytest.raises(NonFiniteError, match="2 bad"):
            require_finite(
                torch.tensor([1.0, float("nan"), float("inf")]), lambda count: NonFiniteError(f"{count} bad")
            )
    require_finite(torch.zeros(0), lambda count: NonFiniteError("none"))


def test_no_more_numbers_wait_than_a_bound():
    readings, seen = Readings(), []
    for _ in range(MOST_WAITING):
        readings.add(torch.tensor(1.0), seen.append)
    assert len(seen) == MOST_WAITING
