"""Tests of the table of things and of its parser."""

from __future__ import annotations

import pytest

from bozzetto_priors.objects import captions, thing_table


def test_objects_are_named_once_and_in_lower_case() -> None:
    names = [thing.name for thing in thing_table.THINGS]
    keys = [key for thing in thing_table.THINGS for key in thing.keys]
    assert len(set(names)) == len(names)
    assert len(set(keys)) == len(keys)
    assert all(name == name.lower() for name in names)
    assert {"hamburger", "snowman", "cactus", "mailbox", "chair"} <= set(names)
    assert len(names) >= 150
    assert len(set(thing_table.SYNONYMS)) == sum(len(thing.synonyms) for thing in thing_table.THINGS)
    assert not set(thing_table.SYNONYMS) & set(names)


def test_every_piece_has_a_phrase_of_its_own_and_the_first_that_of_the_plain_name() -> None:
    phrases = [piece.words for thing in thing_table.THINGS for piece in thing.pieces]
    assert len({*phrases, *thing_table.SYNONYMS}) == len(phrases) + len(thing_table.SYNONYMS)
    assert all(thing.pieces[0].words == thing.name for thing in thing_table.THINGS)
    words = {word for phrase in (*phrases, *thing_table.SYNONYMS) for word in phrase.split()}
    assert not words & set(captions.COLORS)  # they precede the phrase
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)


def test_things_are_read_from_lines() -> None:
    text = "# note\n\ncar, auto | a/b | -90\n    toy car | own/car-1\nclock | a/c | 0 | 0.6\n"
    car, clock = thing_table.read_things(text)
    assert car == thing_table.Thing(
        "car", ("auto",), (thing_table.Piece("a/b", "car", -90.0), thing_table.Piece("own/car-1", "toy car"))
    )
    assert clock.pieces == (thing_table.Piece("a/c", "clock", 0.0, 0.6),)
    for wrong in ("    toy car | a/b", "car", " | a/b", "car | a/b\n    toy car, toy | a/c", "car | a | 0 | 1 | 2"):
        with pytest.raises(ValueError, match="line . of the things is not"):
            thing_table.read_things(wrong)
