"""Tests of the loop: observers in the order of their list, closed however the training ends."""

from __future__ import annotations

import pytest

from bozzetto.engine.loop import Loop
from bozzetto.engine.optimizer import make_optimizer


class Noted:
    """Observer that notes its calls, and fails at a step."""

    def __init__(self, name, calls, fails_at=None):
        self.name, self.calls, self.fails_at = name, calls, fails_at

    def after_step(self, done, system):
        self.calls.append((self.name, done, system.metrics["gradient_norm"] > 0))
        if done == self.fails_at:
            raise RuntimeError(self.name)

    def close(self):
        self.calls.append(f"{self.name} closed")


@pytest.fixture
def loop(tiny):
    system = tiny.system(tiny.recipe())
    return Loop(system, make_optimizer(list(system.named_parameters()), system.optimizer_config))


def test_observers_act_in_order_after_each_step(loop):
    calls = []
    loop.run(2, [Noted("a", calls), Noted("b", calls)])
    steps = [(name, done, True) for done in (1, 2) for name in ("a", "b")]
    assert calls == [*steps, "b closed", "a closed"] and loop.done == 2


def test_all_are_closed_when_one_ends_the_training(loop):
    calls = []
    with pytest.raises(RuntimeError, match="a"):
        loop.run(5, [Noted("a", calls, fails_at=1), Noted("b", calls)])
    assert calls == [("a", 1, True), "b closed", "a closed"] and loop.done == 1


def test_a_finished_loop_trains_no_step(loop):
    loop.done = 3
    loop.run(3, [])
    assert loop.done == 3 and not loop.system.metrics
