"""The settings in docs/from-threestudio.md for stable-dreamfusion's flags are accepted, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bozzetto.config.loading import load_recipe
from bozzetto.errors import UserError

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "from-threestudio.md").read_text(encoding="utf-8")
ROWS = [
    cells[2] for line in TEXT.split("## stable-dreamfusion")[1].split("## Every type")[0].splitlines()
    if line.startswith("| `-") and len(cells := line.split("|")) > 3
]  # fmt: skip
SCORED = [row for row in ROWS if ".score" in row]
"""Rows of the table for recipes with a score."""
MESH = [
    "system.geometry={type: dmtet}",
    "system.renderer.type=mesh",
    "system.tasks.random.losses.orientation=null",
]


def settings(row):
    found = re.findall(r"`([a-z_.]+[a-z0-9_.-]*=[^`]+)`", row)
    return [item.replace("....", "system.tasks.random.").replace("owner/name", "sd-1.5") for item in found]


@pytest.mark.parametrize("row", [row for row in ROWS if settings(row)])
def test_the_settings_of_a_row_are_accepted(row, registry):
    """Of a row for recipes with a score, by such a recipe and by no other."""
    mesh = MESH if "dmtet" in row else []
    recipe = ROOT / "configs" / f"{'sds' if row in SCORED else 'dreamfusion-sd'}.yaml"
    alone = [] if mesh else settings(row)[:1]
    for chosen in ([*mesh, *settings(row)], alone):
        if chosen:
            load_recipe(recipe, registry, chosen, "cuda")


@pytest.mark.parametrize("row", SCORED)
def test_a_recipe_without_a_score_refuses_the_scores_settings(row, registry):
    with pytest.raises(UserError):
        load_recipe(ROOT / "configs" / "dreamfusion-sd.yaml", registry, settings(row), "cuda")


def test_the_rows_are_found():
    assert len(ROWS) > 40 and len(SCORED) == 6
