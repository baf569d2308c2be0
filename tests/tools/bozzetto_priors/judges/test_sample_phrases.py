"""Tests of samples beside the true models: sheets, and the page. The true models are not rendered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from bozzetto_priors.judges import sample_phrases


def test_a_strip_has_the_samples_above_the_truth() -> None:
    above, below = torch.ones(8, 3, 16, 16), torch.zeros(8, 3, 16, 16)
    picture = sample_phrases.strip(above, below)
    assert picture.size == (8 * sample_phrases.TILE, 2 * sample_phrases.TILE)
    assert picture.getpixel((5, 5)) == (255, 255, 255) and picture.getpixel((5, 2 * sample_phrases.TILE - 5)) == (
        0,
        0,
        0,
    )


@pytest.mark.parametrize(("count", "size"), [(1, (1038, 142)), (3, (1038, 284)), (32, (1038, 2272))])
def test_a_sheet_has_two_columns(count: int, size: tuple[int, int]) -> None:
    strip = Image.new("RGB", (512, 128))
    assert sample_phrases.sheet([("a name", strip)] * count).size == size


def test_means_are_of_all_phrases_and_of_plain_names() -> None:
    found = sample_phrases.summary({"chair": 30.0, "wooden chair": 20.0, "car": 22.0})
    assert found == {"phrases": 3, "mean_db": 24.0, "names": 2, "mean_db_of_names": 26.0, "lowest_db": 20.0}


def test_the_page_says_whether_it_is_enough_and_what_is_worst(tmp_path: Path) -> None:
    for words, db in (("chair", 30.0), ("car", 13.0)):
        (tmp_path / f"{words}.json").write_text(json.dumps({"words": words, "psnr": db}))
        Image.new("RGB", (512, 128)).save(tmp_path / f"{words}.png")
    sample_phrases.write_docs(tmp_path, tmp_path / "docs", 8)
    page = (tmp_path / "docs" / "samples.md").read_text()
    assert "**21.5 dB** (22 dB wanted: **missed**)" in page and "car (13.0), chair (30.0)" in page
    assert "![sheet 1](samples/1.jpg)" in page and "| chair | 30.0 |" in page
    assert Image.open(tmp_path / "docs" / "samples" / "1.jpg").size == (1038, 142)
