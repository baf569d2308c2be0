"""Random numbers of the views of a batch, which several processes may share out among themselves."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor

__all__ = ["Draw", "ShareGenerator", "draw_for_host", "draw_groups", "draw_rows", "share_generator"]

Draw = Callable[[int, torch.Generator], Tensor]
"""Function from a number of rows and a generator to random rows on the generator's device."""


class ShareGenerator(torch.Generator):
    """Generator of a process that renders one of several equal parts of each batch of views; see `share_generator`.

    Numbers that are drawn from it directly are its own, and differ from those of the other processes. `draw_rows` gives
    the numbers that a single process would draw for the same views.
    """

    whole: torch.Generator
    """Generator in the same state in every process."""
    rank: int
    """Index of the part."""
    count: int
    """Number of parts."""


def share_generator(whole: torch.Generator, rank: int, count: int, seed: int) -> ShareGenerator:
    """Return the generator of part `rank` of `count`, with its own numbers from `seed`."""
    made = ShareGenerator(whole.device)
    made.whole, made.rank, made.count = whole, rank, count
    made.manual_seed(seed)
    return made


def draw_for_host(count: int, generator: torch.Generator) -> list[float]:
    """Draw numbers in [0, 1) that the program branches on, without waiting for an accelerator.

    The state of a generator on an accelerator is in main memory, its numbers are not: there they are drawn by Python,
    seeded with that state, which the caller's further draws advance.
    """
    if generator.device.type == "cpu":
        return torch.rand(count, generator=generator, device=generator.device).tolist()
    stand_in = random.Random(bytes(generator.get_state().tolist()))
    return [stand_in.random() for _ in range(count)]


def draw_rows(draw: Draw, rows: int, generator: torch.Generator) -> Shaped[Tensor, "rows ..."]:
    """Draw `rows` rows, which are views, or rays or pixels of whole views in their order.

    With a `ShareGenerator`, the rows of all processes are drawn, and those of this one are returned.
    """
    if not isinstance(generator, ShareGenerator):
        return draw(rows, generator)
    first = generator.rank * rows
    return draw(generator.count * rows, generator.whole)[first : first + rows]


def draw_groups(
    draw: Draw, views: int, views_per_group: int, generator: torch.Generator
) -> Shaped[Tensor, "{views} ..."]:
    """Draw one row per group of `views_per_group` consecutive views, and repeat it for each of them.

    Groups of one are `draw_rows`, bit for bit. A process that renders a share of the views has whole groups.

    Raises:
        ValueError: the views are not a whole number of groups.
    """
    if views_per_group < 1 or views % views_per_group:
        raise ValueError(f"{views} views are not a whole number of groups of {views_per_group}")
    drawn = draw_rows(draw, views // views_per_group, generator)
    return drawn if views_per_group == 1 else drawn.repeat_interleave(views_per_group, dim=0)
