"""Tests of each translated value against threestudio's formula."""

from __future__ import annotations

import pytest

from bozzetto.math.schedules import Schedule
from bozzetto_convert.rules import Changed, Lost
from bozzetto_convert.values import (
    cfg_scale,
    finest_resolution,
    front_deg,
    is_zero,
    largest,
    levels_active,
    model,
    schedule,
)


def reading(**values):
    """Read a key by the last part of its path."""
    return lambda path: values.get(path.rpartition(".")[2])


def theirs_at(value, step):
    """Recompute a threestudio schedule: linear between the two entries around the step."""
    start, low, high, end = value if len(value) == 4 else (0, *value)
    ratio = max(min(1.0, (step - start) / (end - start)), 0.0)
    return low + (high - low) * ratio


@pytest.mark.parametrize("value", [[0, 10.0, 1000.0, 5000], [100, 0.98, 0.5, 300], [10.0, 1000.0, 5000]])
def test_schedules_agree_at_every_step(value):
    ours = Schedule.parse(schedule(value))
    for step in (0, 50, 100, 101, 250, 2500, 5000, 9999):
        assert ours.at(step) == pytest.approx(theirs_at(value, step))


def test_a_number_stays_a_number():
    assert schedule(0.5) == 0.5


def test_a_float_end_counts_epochs_and_never_moves():
    result = schedule([0, 10.0, 1000.0, 5000.0])
    assert isinstance(result, Changed) and result.value == 10.0
    assert "epochs" in result.why and "{from: 10, to: 1000, start_step: 0, until_step: 5000}" in result.why


def test_several_slopes_become_one_and_are_noted():
    result = schedule([100, 7.0, 5.0, 150, 10.0, 200])
    assert isinstance(result, Changed)
    assert result.value == {"from": 7.0, "to": 10.0, "start_step": 100, "until_step": 200}


@pytest.mark.parametrize("value", ["soon", [1], [1, 2], [0, "a", 1, 2], [5, 0.0, 1.0, 5], [0, 1, 2, 3, 4]])
def test_what_is_no_schedule_is_lost(value):
    assert isinstance(schedule(value), Lost)


def test_largest_is_their_c_max():
    assert largest(3) == 3.0
    assert largest([0, 0.1, 0.5, 100]) == 0.5
    assert largest([0.7, 0.5, 100]) == 0.7
    assert largest([100, 7.0, 5.0, 150, 10.0, 200]) == 10.0


def test_zero_at_every_step_looks_at_values_not_at_steps():
    assert is_zero(0.0) and is_zero([0, 0.0, 0.0, 500]) and is_zero([0.0, 0.0, 500])
    assert not is_zero([0, 0.0, 0.1, 500]) and not is_zero([0, 0.0, 0.0, 100, 1.0, 200]) and not is_zero("0")


def test_the_two_conventions_of_guidance_give_the_same_prediction():
    cond, uncond, scale = 0.3, -0.2, 100.0
    ours = cfg_scale(scale, reading())
    assert cond + scale * (cond - uncond) == pytest.approx(uncond + ours * (cond - uncond))
    assert cfg_scale(scale, reading(use_perp_neg=True)) == scale
    assert cfg_scale([0, 50.0, 7.5, 100], reading()) == {"from": 51.0, "to": 8.5, "until_step": 100}


def test_the_finest_level_of_the_usual_grid():
    assert finest_resolution(1.447269237440378, reading(base_resolution=16, n_levels=16)) == 4096


def test_a_growing_grid_has_the_same_levels_at_every_step():
    read = reading(n_levels=16, start_step=2000, update_steps=500)
    ours = Schedule.parse(levels_active(8, read))
    for step in range(0, 8000, 50):
        theirs = min(8 + max(step - 2000, 0) // 500, 16)
        assert int(ours.at(step) + 1e-6) == theirs


def test_view_thresholds():
    assert front_deg(45.0, reading(back_threshold=45.0)) == 90.0
    result = front_deg(45.0, reading(back_threshold=30.0))
    assert isinstance(result, Changed) and result.value == 90.0 and "back_threshold 30.0" in result.why


def test_models():
    assert model("weights/zero123-xl.ckpt", reading()) == "zero123-xl"
    assert model("owner/some-model", reading()) == "owner/some-model"
    assert isinstance(model("weights/zero123.ckpt", reading()), Lost)
