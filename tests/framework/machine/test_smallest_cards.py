"""Test of the smallest cards in the table of priors of docs/gpu.md: against its memory, and the recipes' first lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[3] / "configs"
CARDS_GB = (8, 12, 24, 32, 48, 80)
"""Sizes that the table of priors knows."""
MOST_USED = 0.9
"""Largest share of a card that a step may take."""


def rows_of_priors() -> list[dict[str, str]]:
    """Return the cells of the table of priors in docs/gpu.md by column."""
    page = (CONFIGS.parent / "docs" / "gpu.md").read_text(encoding="utf-8")
    head, _, *rows = page[page.index("| prior | recipe | networks |") :].partition("\n\n")[0].splitlines()
    names, *cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in (head, *rows))
    return [dict(zip(names, values, strict=True)) for values in cells]


@pytest.mark.parametrize("row", rows_of_priors(), ids=lambda row: row["prior"])
def test_the_smallest_card_of_a_prior_is_that_of_the_whole_step_and_the_recipe_names_it(row: dict[str, str]) -> None:
    whole = float(row["whole step"].removeprefix("worked out "))
    parts = sum(float(row[name]) for name in ("networks", "encoder keeps", "scene"))
    assert parts < whole < parts + 2.5, "the rest is CUDA's, the optimiser's, and the denoiser's"
    assert row["smallest card"] == f"{next(card for card in CARDS_GB if whole <= MOST_USED * card)} GB"
    recipe = (CONFIGS / f"{row['recipe'].strip('`')}.yaml").read_text(encoding="utf-8")
    header = " ".join(line.removeprefix("#").strip() for line in recipe.splitlines() if line.startswith("#"))
    first = re.search(r"for a card of (\d+) GB", header)
    assert first is not None and whole <= MOST_USED * int(first[1])
    assert int(first[1]) <= int(row["smallest card"].removesuffix(" GB"))
    assert re.search(rf"(?<![\d.])({whole:.0f}|{whole:.1f}) GB", header), "its memory"
