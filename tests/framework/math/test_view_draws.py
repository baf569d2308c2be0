"""Tests of draws that views share: per group, alone and in processes that render some of the groups each."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.math.view_draws import draw_for_host, draw_groups, draw_rows, share_generator


def draw(rows: int, generator: torch.Generator) -> Tensor:
    return torch.rand(rows, 2, generator=generator)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_groups_of_one_are_rows_bit_for_bit() -> None:
    first, second = seeded(), seeded()
    assert torch.equal(draw_groups(draw, 6, 1, first), draw_rows(draw, 6, second))
    assert torch.equal(first.get_state(), second.get_state())


def test_a_group_has_one_draw() -> None:
    drawn = draw_groups(draw, 6, 3, seeded())
    assert torch.equal(drawn[[0, 3]], draw(2, seeded()))
    assert torch.equal(drawn, drawn[[0, 0, 0, 3, 3, 3]])


def test_processes_with_whole_groups_draw_what_one_would() -> None:
    whole, wholes = seeded(), [seeded() for _ in range(2)]
    expected = draw_groups(draw, 8, 2, whole)
    own = [share_generator(one, rank, 2, seed=0) for rank, one in enumerate(wholes)]
    assert torch.equal(torch.cat([draw_groups(draw, 4, 2, one) for one in own]), expected)
    assert all(torch.equal(one.get_state(), whole.get_state()) for one in wholes)


@pytest.mark.parametrize("each", [0, 4])
def test_a_part_of_a_group_is_an_error(each: int) -> None:
    with pytest.raises(ValueError, match=f"6 views are not a whole number of groups of {each}"):
        draw_groups(draw, 6, each, seeded())


def test_numbers_for_the_host_are_the_generators_own_in_main_memory() -> None:
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    assert draw_for_host(2, one) == torch.rand(2, generator=other).tolist()


def test_on_a_device_they_follow_its_generators_state_without_advancing_it() -> None:
    class Device(torch.Generator):
        device = torch.device("meta")
        state = 0

        def get_state(self) -> Tensor:
            return torch.tensor([self.state], dtype=torch.uint8)

    def numbers(state: int) -> list[float]:
        generator = Device()
        generator.state = state
        return draw_for_host(2, generator)

    first, again, other = (numbers(state) for state in (1, 1, 2))
    assert first == again != other and all(0.0 <= number < 1.0 for number in first)
