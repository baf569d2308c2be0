"""Tests of the prior's tools: captions, cameras, things. No GL, network or trained weights needed."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from bozzetto_priors.export import write_attribution
from bozzetto_priors.objects import captions, furniture_catalogue, thing_table
from bozzetto_priors.training import tokenizer_and_encoder
from bozzetto_priors.views import camera_matrices


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


def test_every_known_word_is_one_token_and_any_text_is_survived(tmp_path: Path) -> None:
    tokenizer = tokenizer_and_encoder.write_tokenizer(tmp_path)
    for word in {word for name in (*captions.NAMES, *captions.COLORS) for word in name.split()}:
        assert tokenizer.tokenize(word) == [f"{word}</w>"]
    known = set(tokenizer.get_vocab())
    for strange in ("", "Zyxwv", "caf\u00e9 \u732b!!", "a" * 500):
        ids = tokenizer(strange, padding="max_length", truncation=True).input_ids
        assert len(ids) == tokenizer_and_encoder.MAX_TOKENS
        assert set(tokenizer.tokenize(strange)) <= known


def test_camera_axes() -> None:
    eye = camera_matrices.position(0.0, 0.0, 3.2)
    assert eye == pytest.approx([3.2, 0.0, 0.0])
    view = camera_matrices.view_matrix(eye)
    assert np.linalg.det(view[:3, :3]) == pytest.approx(1.0)
    assert view @ [0, 0, 0, 1] == pytest.approx([0, 0, -3.2, 1])  # looks along -z
    assert view @ [0, 1, 0, 1] == pytest.approx([1, 0, -3.2, 1])  # world +y is to the right in the front view
    assert view @ [0, 0, 1, 1] == pytest.approx([0, 1, -3.2, 1])
    side = camera_matrices.position(90.0, 30.0, 1.0)
    assert side == pytest.approx([0.0, math.cos(math.radians(30)), 0.5], abs=1e-9)


def test_field_of_view_meets_the_image_border() -> None:
    edge = 3.0 * math.tan(math.radians(20))
    clip = camera_matrices.projection_matrix(40.0) @ [0, edge, -3.0, 1]
    assert clip[1] / clip[3] == pytest.approx(1.0)


def test_model_frame_becomes_world_frame_unmirrored() -> None:
    axes = np.eye(3)
    world = furniture_catalogue.to_world(axes)
    assert world[2] == pytest.approx([1, 0, 0])  # the model's front +z is the world's front +x
    assert world[1] == pytest.approx([0, 0, 1])
    assert np.linalg.det(world) == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(2.0, 1.0, 0.5), (4.0, 4.0, 4.0), (0.01, 0.02, 0.01)])
def test_normalise_fits_cube_and_sphere(size: tuple[float, float, float]) -> None:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * size + 7.0
    centre, scale = furniture_catalogue.normalise(corners.min(0), corners.max(0), corners)
    fitted = (corners - centre) * scale
    half, radius = np.abs(fitted).max(), np.linalg.norm(fitted, axis=1).max()
    assert half <= 0.75 + 1e-9
    assert radius <= 0.95 + 1e-9
    assert half == pytest.approx(0.75) or radius == pytest.approx(0.95)
    assert fitted.mean(0) == pytest.approx([0, 0, 0], abs=1e-9)


def test_properties_are_read_with_escapes() -> None:
    text = "# note\nname#1=Caf\\u00e9 chair\ntags#1=a,\\\n  b\nmodel#1=/x/y\\:z.obj\n"
    assert furniture_catalogue.read_properties(text) == {
        "name#1": "Café chair",
        "tags#1": "a,b",
        "model#1": "/x/y:z.obj",
    }


def test_a_licence_file_outranks_the_catalogue() -> None:
    assert write_attribution.licence_of("Public domain", "") == write_attribution.CC0
    assert write_attribution.licence_of("Creative Commons Attribution 3.0", "") == write_attribution.BY
    enclosed = "Released under <b>Creative Commons Attribution 3.0</b>"
    assert write_attribution.licence_of("Public domain", enclosed) == write_attribution.BY
    assert (
        write_attribution.licence_of("x", "under the license: Creative Commons Zero (Public Domain)")
        == write_attribution.CC0
    )


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
