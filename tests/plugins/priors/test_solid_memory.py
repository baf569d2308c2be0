"""Tests of the memory: a brick is rendered at its position, in its colour or in paint, at any precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bozzetto.kernels.grid_spec import GridSpec
from bozzetto.testing.fakes import cameras_around
from bozzetto_plugins.priors.solid_memory import CHANNELS, MOST_TONE, Drawing, SolidMemory, split_field

SPEC = GridSpec.up_to(4, levels=2, features=2, log2_table_size=8, base_resolution=2)
COLOUR, GREEN = (0.9, 0.6, 0.1), torch.tensor([[0.0, 1.0, 0.0]])
SIZE = 33
HALF_SIDES = (0.25, 0.375, 0.125)
"""Of the brick, world units."""


@pytest.fixture
def memory(brick: Callable[..., None]) -> SolidMemory:
    """Return a memory in which thing 1 takes no paint, thing 2 does, and thing 0 is empty."""
    made = SolidMemory(things=3, spec=SPEC, width=4, cells=8, step_size=0.01)
    brick(made, 1, COLOUR, 0.001, 0.0)
    brick(made, 2, COLOUR, 0.999, 0.0)
    return made


def look(memory: SolidMemory, thing: int, azimuth: float = 0.0, paint: Tensor = GREEN, painted: float = 0.0) -> Drawing:
    """Render the view of one camera at the horizon."""
    rays = cameras_around([azimuth], 0.0, SIZE).rays()
    return memory.draw(torch.tensor([thing]), rays, paint, torch.tensor([painted]))


def sides(drawing: Drawing) -> tuple[int, int]:
    """Return the width and height of the covered pixels."""
    there = drawing.opacity[0, :, :, 0] > 0.5
    return int(there.any(dim=0).sum()), int(there.any(dim=1).sum())


def test_a_brick_is_as_wide_as_it_is_from_each_side(memory: SolidMemory) -> None:
    pixels_a_unit = SIZE / (2.0 * 3.0 * torch.tan(torch.deg2rad(torch.tensor(20.0)))).item()  # at the centre
    for azimuth, across in ((0.0, HALF_SIDES[1]), (90.0, HALF_SIDES[0])):
        wide, high = sides(look(memory, 1, azimuth))
        assert wide == pytest.approx(2.0 * across * pixels_a_unit, abs=2.0)
        assert high == pytest.approx(2.0 * HALF_SIDES[2] * pixels_a_unit, abs=2.0)


def test_colour_is_multiplied_by_opacity_and_nothing_is_empty(memory: SolidMemory) -> None:
    seen, nothing = look(memory, 1), look(memory, 0)
    middle = SIZE // 2
    torch.testing.assert_close(seen.colour[0, middle, middle], torch.tensor(COLOUR), rtol=0.0, atol=1e-3)
    assert seen.opacity[0, middle, middle].item() == pytest.approx(1.0, abs=1e-3)
    assert not seen.opacity[0, 0].any() and not seen.colour[0, 0].any()
    assert not nothing.opacity.any() and nothing.colour.shape == (1, SIZE, SIZE, 3)


def test_a_moved_and_stretched_box_moves_and_stretches_its_thing(memory: SolidMemory) -> None:
    before = sides(look(memory, 1))
    memory.half_side[1] = torch.tensor([0.5, 1.0, 0.5])
    assert sides(look(memory, 1))[0] == pytest.approx(2 * before[0], abs=2)
    memory.centre[1] = torch.tensor([0.0, 0.0, 0.4])
    seen = look(memory, 1)
    assert not seen.opacity[0, SIZE // 2 :].any() and seen.opacity.any()  # above the middle


@pytest.mark.parametrize(("thing", "painted", "expected"), [(1, 1.0, COLOUR), (2, 1.0, None), (2, 0.0, COLOUR)])
def test_paint_goes_where_it_is_taken(memory: SolidMemory, thing: int, painted: float, expected: tuple | None) -> None:
    shown = look(memory, thing, painted=painted).colour[0, SIZE // 2, SIZE // 2]
    wanted = MOST_TONE * 0.5 * GREEN[0] if expected is None else torch.tensor(expected)
    torch.testing.assert_close(shown, wanted, rtol=0.0, atol=3e-3)


def test_each_image_shows_its_own_thing(memory: SolidMemory) -> None:
    rays = cameras_around([0.0, 0.0, 90.0], 0.0, SIZE).rays()
    drawn = memory.draw(torch.tensor([1, 0, 2]), rays, GREEN.expand(3, 3), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(drawn.colour[:1], look(memory, 1).colour)
    assert not drawn.opacity[1].any()
    torch.testing.assert_close(drawn.colour[2:], look(memory, 2, 90.0, painted=1.0).colour)


def test_cells_are_bits_the_lowest_first(memory: SolidMemory) -> None:
    memory.occupied[0] = 0
    memory.occupied[0, 1] = 0b101
    found = memory.occupancy(torch.tensor(0)).nonzero()
    assert found.tolist() == [[0, 1, 0], [0, 1, 2]]
    assert memory.occupancy(torch.tensor(1)).sum() == 4 * 6 * 2


def test_features_are_bytes_in_the_scale_of_their_level(memory: SolidMemory) -> None:
    memory.scale[1] = torch.tensor([2.0, 0.5])
    first, second = memory.features(torch.tensor(1)).split([level.size for level in SPEC.table])
    assert torch.equal(first, torch.full_like(first, 2.0)) and torch.equal(second, torch.full_like(second, 0.5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_draws_the_same(memory: SolidMemory, dtype: torch.dtype) -> None:
    before = look(memory, 1, 30.0)
    kept = SolidMemory(things=3, spec=SPEC, width=4, cells=8, step_size=0.01).to(dtype)
    kept.load_state_dict(
        {name: value.half() if value.is_floating_point() else value for name, value in memory.state_dict().items()}
    )
    assert kept.table.dtype == torch.int8 and kept.occupied.dtype == torch.uint8 and kept.first.dtype == dtype
    after = look(kept, 1, 30.0)
    assert after.colour.dtype == torch.float32
    torch.testing.assert_close(tuple(after), tuple(before), rtol=0.0, atol=0.01)


def test_no_output_of_a_perceptron_leaves_its_range() -> None:
    density, own, takes, tone = split_field(torch.tensor([[-1e3] * CHANNELS, [1e3] * CHANNELS, [0.0] * CHANNELS]))
    assert density[0] < 1e-5 and density[1].item() == pytest.approx(1808.0, rel=0.01)
    for part, most in ((own, 1.0), (takes, 1.0), (tone, MOST_TONE)):
        assert part.aminmax() == (0.0, most) and part[2].unique().item() == most / 2
