"""Tests of shares: the views and random numbers of all processes are those of one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bozzetto.engine.shares import Share
from bozzetto.errors import ConfigError
from bozzetto.math.view_draws import draw_rows
from bozzetto.types import Cameras, Shading

SHARES = [Share(rank, 3) for rank in range(3)]


def views(count):
    cameras = Cameras(torch.rand(count, 4, 4), torch.rand(count), 8, 9)
    light = torch.rand(3, count, 3)
    return cameras, Shading("albedo", light[0], light[1], light[2])


def test_shares_are_all_views_in_order():
    cameras, shading = views(6)
    parts = [share.of(cameras, shading, "random") for share in SHARES]
    assert torch.equal(torch.cat([one.c2w for one, _ in parts]), cameras.c2w)
    assert torch.equal(torch.cat([one.diffuse for _, one in parts]), shading.diffuse)
    assert {(len(one), one.height, one.width, lit.mode) for one, lit in parts} == {(2, 8, 9, "albedo")}


def test_one_process_has_all_views_and_the_generator_itself():
    cameras, shading = views(5)
    generator = torch.Generator()
    assert Share().of(cameras, shading, "random") == (cameras, shading)
    assert Share().generator(generator, 3) is generator


def test_views_that_cannot_be_divided_name_the_task():
    with pytest.raises(ConfigError, match=r"system\.tasks\.random\.views: a step of 4 views cannot be divided among 3"):
        SHARES[0].of(*views(4), "random")


def test_rows_are_those_of_one_process_and_leave_all_in_the_same_state():
    def draw(rows, generator):
        return torch.rand(rows, 2, generator=generator)

    alone = torch.Generator().manual_seed(5)
    expected = draw_rows(draw, 6, alone)
    wholes = [torch.Generator().manual_seed(5) for _ in SHARES]
    own = [share.generator(whole, 7) for share, whole in zip(SHARES, wholes, strict=True)]
    assert torch.equal(torch.cat([draw_rows(draw, 2, one) for one in own]), expected)
    assert all(torch.equal(whole.get_state(), alone.get_state()) for whole in wholes)


def test_numbers_that_are_drawn_directly_differ_between_processes_and_steps():
    drawn = [
        tuple(torch.rand(3, generator=share.generator(torch.Generator().manual_seed(5), step)).tolist())
        for share in SHARES
        for step in (0, 1, 0)
    ]
    assert len(set(drawn)) == 6


def test_a_group_is_not_divided():
    cameras, shading = views(12)
    parts = [share.of(replace(cameras, views_per_group=4), shading, "random")[0] for share in SHARES]
    assert [(len(part), part.views_per_group) for part in parts] == [(4, 4)] * 3
    message = "system.tasks.random.views: a step of 2 groups of 6 views cannot be divided among 3 processes. Make the "
    with pytest.raises(ConfigError, match=message.replace(".", r"\.") + "number of groups"):
        SHARES[0].of(replace(cameras, views_per_group=6), shading, "random")
