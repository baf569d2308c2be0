"""Tests of the captions: names, colours, and words without meaning."""

from __future__ import annotations

import random

import pytest

from bozzetto_priors.objects import captions


@pytest.mark.parametrize(
    ("name", "color", "expected"),
    [
        ("chair", "red", "a red chair"),
        ("chair", None, "a chair"),
        ("chair", "orange", "an orange chair"),
        ("armchair", None, "an armchair"),
        ("armchair", "dark blue", "a dark blue armchair"),
    ],
)
def test_caption(name: str, color: str | None, expected: str) -> None:
    assert captions.caption(name, color) == expected


def test_drawn_captions_say_what_they_mean() -> None:
    rng = random.Random(0)
    drawn = [captions.draw_caption(rng) for _ in range(4000)]
    phrases = {row: [name for name, of in captions.NAMES.items() if of == row] for row in captions.NAMES.values()}
    for one in drawn:
        if one.text:
            assert any(phrase in one.text for phrase in phrases[one.thing])
            assert one.color is None or one.color in one.text
        else:
            assert (one.thing, one.color) == (0, None)
    assert sum(not one.text for one in drawn) / 4000 == pytest.approx(0.02, abs=0.01)
    assert sum(one.color is not None for one in drawn) / 4000 == pytest.approx(0.98 * 0.6, abs=0.03)
    assert {one.thing for one in drawn} == {0, *captions.NAMES.values()}


def test_plain_captions_are_all_names_in_all_colours() -> None:
    plain = captions.plain_captions()
    assert len(plain) == 1 + len(captions.NAMES) * (1 + len(captions.COLORS))
    assert captions.Caption("a red couch", captions.NAMES["sofa"], "red") in plain
    assert captions.NAMES["couch"] == captions.NAMES["sofa"] and 0 not in captions.NAMES.values()


def test_words_that_say_nothing_are_no_words_of_things() -> None:
    rng = random.Random(0)
    meant = {word for name in (*captions.NAMES, *captions.COLORS) for word in name.split()}
    assert not meant & set(captions.FILLERS)
    made_up = {captions.draw_filler(rng) for _ in range(300)} - set(captions.FILLERS)
    assert all(word.isalpha() and 3 <= len(word) <= 8 for word in made_up)
