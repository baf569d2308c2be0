"""Tests of shared timesteps and of those that follow the optimiser step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.math.schedules import Schedule
from bozzetto.math.timestep_schedules import (
    density_timesteps,
    plateau_density,
    point_timesteps,
    shared_timesteps,
    snr_density,
)
from bozzetto.math.timesteps import sample_timesteps
from bozzetto.math.view_draws import share_generator

CPU = torch.device("cpu")


def test_groups_share_a_timestep() -> None:
    found = shared_timesteps(8, 20, 980, 4, torch.Generator().manual_seed(0))
    drawn = sample_timesteps(2, 20, 980, torch.Generator().manual_seed(0))
    assert found.tolist() == [drawn[0].item()] * 4 + [drawn[1].item()] * 4


def test_groups_of_one_are_the_window() -> None:
    first, second = (torch.Generator().manual_seed(1) for _ in range(2))
    assert torch.equal(shared_timesteps(5, 0, 999, 1, first), sample_timesteps(5, 0, 999, second))
    assert torch.equal(first.get_state(), second.get_state())


def test_a_batch_shares_one_timestep_in_every_process() -> None:
    alone = shared_timesteps(4, 0, 999, None, torch.Generator().manual_seed(1))
    assert alone.tolist() == sample_timesteps(1, 0, 999, torch.Generator().manual_seed(1)).tolist() * 4
    for rank in range(2):
        part = share_generator(torch.Generator().manual_seed(1), rank, 2, seed=7)
        assert torch.equal(shared_timesteps(2, 0, 999, None, part), alone[:2])


def test_processes_draw_the_timesteps_of_their_groups() -> None:
    whole = shared_timesteps(8, 0, 999, 2, torch.Generator().manual_seed(1))
    parts = (share_generator(torch.Generator().manual_seed(1), rank, 2, seed=7) for rank in range(2))
    assert torch.equal(torch.cat([shared_timesteps(4, 0, 999, 2, part) for part in parts]), whole)


def test_part_of_a_group_has_no_timestep() -> None:
    with pytest.raises(ValueError, match="6 views are not a whole number of groups of 4"):
        shared_timesteps(6, 0, 999, 4, torch.Generator())


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ("sqrt", [980, 765, 640, 499, 391, 335, 300]),
        ("linear", [980, 912, 810, 640, 470, 368, 300]),
    ],
)
def test_points_of_a_schedule(curve: str, expected: list[int]) -> None:
    fraction = Schedule(0.98, 0.3, 0, 1000, curve)
    found = [point_timesteps(2, fraction, step, 1000, CPU) for step in (0, 100, 250, 500, 750, 900, 1000)]
    assert [timestep.tolist() for timestep in found] == [[value, value] for value in expected]


def test_the_largest_point_is_the_last_timestep() -> None:
    assert point_timesteps(1, Schedule.constant(1.0), 5, 1000, CPU).tolist() == [999]
    with pytest.raises(ValueError, match=r"fraction must be in \[0, 1\], got 1.5 at step 5"):
        point_timesteps(1, Schedule.constant(1.5), 5, 1000, CPU)


def test_the_plateau() -> None:
    density = plateau_density(1000)
    assert density[500:801].tolist() == [1.0] * 301
    assert density[400].item() == pytest.approx(torch.tensor(-0.5).exp().item(), abs=1e-6)
    assert density[950].item() == pytest.approx(torch.tensor(-0.125).exp().item(), abs=1e-6)


def test_time_prioritised_timesteps(sd_alpha_bar: Tensor) -> None:
    found = [
        [int(density_timesteps(1, density, step, 10000)) for step in (0, 999, 2499, 4999, 7499, 8999, 9989)]
        for density in (plateau_density(1000), snr_density(sd_alpha_bar))
    ]
    assert found == [[999, 929, 834, 681, 528, 431, 222], [999, 721, 642, 556, 470, 394, 176]]


def test_timesteps_never_rise_and_follow_their_density() -> None:
    density, steps = plateau_density(50, 40.0, 25.0, 15.0, 5.0), 200
    found = torch.stack([density_timesteps(1, density, step, steps)[0] for step in range(steps)])
    assert bool((found[1:] <= found[:-1]).all())
    below = torch.stack([(found <= timestep).double().mean() for timestep in range(50)])
    share = density / density.sum()
    assert (below - share.cumsum(0)).abs().max() <= max(1.0 / steps, share.max().item())


def test_a_step_beyond_the_last_has_the_last_timestep() -> None:
    density = plateau_density(1000)
    assert torch.equal(density_timesteps(3, density, 99, 10), density_timesteps(3, density, 10, 10))
    with pytest.raises(ValueError, match="got step -1 of 10"):
        density_timesteps(3, density, -1, 10)
