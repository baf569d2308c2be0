"""The prior's tools: captions, cameras, recolouring, normalisation. No GL, network or trained weights needed."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import attribution
import cameras
import captions
import catalogue
import data
import export
import objects
import text
import train_unet


@pytest.mark.parametrize(
    ("name", "color", "view", "expected"),
    [
        ("chair", "red", "front", "a red chair, front view"),
        ("chair", None, "overhead", "a chair, overhead view"),
        ("chair", "orange", None, "an orange chair"),
        ("armchair", None, "side", "an armchair, side view"),
        ("armchair", "blue", "back", "a blue armchair, back view"),
    ],
)
def test_caption(name: str, color: str | None, view: str | None, expected: str) -> None:
    assert captions.caption(name, color, view) == expected


@pytest.mark.parametrize(
    ("azimuth", "elevation", "word"),
    [
        (0, 0, "front"),
        (44.9, 0, "front"),
        (-44.9, 30, "front"),
        (45, 0, "side"),
        (-90, 60, "side"),
        (135, 0, "side"),
        (135.1, 0, "back"),
        (-180, 0, "back"),
        (359, 0, "front"),
        (0, 60.1, "overhead"),
        (180, 85, "overhead"),
    ],
)
def test_view_word_at_its_borders(azimuth: float, elevation: float, word: str) -> None:
    assert cameras.view_word(azimuth, elevation) == word


def test_drawn_captions_name_the_object_and_drop_words_in_the_stated_shares() -> None:
    rng = random.Random(0)
    drawn = [captions.draw_caption(rng, "vase", "red", 0.0, 0.0) for _ in range(4000)]
    assert all("red vase" in text for text in drawn if text)
    assert {"", "a red vase", "a red vase, front view"} <= set(drawn)
    assert drawn.count("") / 4000 == pytest.approx(0.10, abs=0.02)
    assert sum("view" not in text for text in drawn if text) / 4000 == pytest.approx(0.9 * 0.05, abs=0.02)
    assert drawn.count("a red vase, front view") / 4000 == pytest.approx(0.9 * 0.95 * 0.875, abs=0.03)
    sides = [captions.draw_caption(rng, "vase", None, -90.0, 0.0) for _ in range(4000)]
    assert sum(", side view" in text for text in sides) / 4000 == pytest.approx(0.9 * 0.95 / 3, abs=0.03)
    assert sum(", right side view" in text for text in sides) / 4000 == pytest.approx(0.9 * 0.95 * 2 / 3, abs=0.03)
    between = [captions.draw_caption(rng, "vase", None, 40.0, 0.0) for _ in range(4000)]
    assert sum("front view" in text for text in between) / 4000 == pytest.approx(0.9 * 0.25, abs=0.03)


def test_captions_use_other_words_for_a_name_now_and_then() -> None:
    rng = random.Random(0)
    drawn = [captions.draw_name(rng, "sofa") for _ in range(1000)]
    assert set(drawn) == {"sofa", "couch", "settee"}
    assert drawn.count("sofa") / 1000 == pytest.approx(0.7, abs=0.05)
    assert captions.draw_name(rng, "cactus") == "cactus"
    assert {"a couch", "a red settee, front view", "a sofa, back view"} <= set(captions.all_captions(["sofa"]))


def test_words_to_be_ignored_leave_the_caption_readable() -> None:
    rng = random.Random(0)
    texts = [captions.add_fillers(rng, "a red chair") for _ in range(300)]
    assert all(text.startswith("a") and "red chair" in text and text != "a red chair" for text in texts)
    made_up = {captions.draw_filler(rng) for _ in range(300)} - set(captions.FILLERS)
    assert all(word.isalpha() and 3 <= len(word) <= 8 for word in made_up)


def test_every_known_word_is_one_token_and_any_text_is_survived(tmp_path: Path) -> None:
    tokenizer = text.write_tokenizer(tmp_path)
    names = [*(thing.name for thing in objects.THINGS), *objects.SYNONYMS, *captions.COLORS, *captions.VIEWS]
    for word in {word for name in names for word in name.split()} - {"3d"}:
        assert tokenizer.tokenize(word) == [f"{word}</w>"]
    known = set(tokenizer.get_vocab())
    for strange in ("", "Zyxwv", "caf\u00e9 \u732b!!", "a" * 500):
        ids = tokenizer(strange, padding="max_length", truncation=True).input_ids
        assert len(ids) == text.MAX_TOKENS
        assert set(tokenizer.tokenize(strange)) <= known


@pytest.mark.parametrize(("azimuth", "side"), [(90, "left side"), (-90, "right side"), (270, "right side")])
def test_sides_are_the_objects_own(azimuth: float, side: str) -> None:
    assert cameras.which_side(azimuth) == side


def test_camera_axes() -> None:
    eye = cameras.position(0.0, 0.0, 3.2)
    assert eye == pytest.approx([3.2, 0.0, 0.0])
    view = cameras.view_matrix(eye)
    assert np.linalg.det(view[:3, :3]) == pytest.approx(1.0)
    assert view @ [0, 0, 0, 1] == pytest.approx([0, 0, -3.2, 1])  # looks along -z
    assert view @ [0, 1, 0, 1] == pytest.approx([1, 0, -3.2, 1])  # world +y is to the right in the front view
    assert view @ [0, 0, 1, 1] == pytest.approx([0, 1, -3.2, 1])
    side = cameras.position(90.0, 30.0, 1.0)
    assert side == pytest.approx([0.0, math.cos(math.radians(30)), 0.5], abs=1e-9)


def test_field_of_view_meets_the_image_border() -> None:
    edge = 3.0 * math.tan(math.radians(20))
    clip = cameras.projection_matrix(40.0) @ [0, edge, -3.0, 1]
    assert clip[1] / clip[3] == pytest.approx(1.0)


def test_model_frame_becomes_world_frame_unmirrored() -> None:
    axes = np.eye(3)
    world = catalogue.to_world(axes)
    assert world[2] == pytest.approx([1, 0, 0])  # the model's front +z is the world's front +x
    assert world[1] == pytest.approx([0, 0, 1])
    assert np.linalg.det(world) == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(2.0, 1.0, 0.5), (4.0, 4.0, 4.0), (0.01, 0.02, 0.01)])
def test_normalise_fits_cube_and_sphere(size: tuple[float, float, float]) -> None:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * size + 7.0
    centre, scale = catalogue.normalise(corners.min(0), corners.max(0), corners)
    fitted = (corners - centre) * scale
    half, radius = np.abs(fitted).max(), np.linalg.norm(fitted, axis=1).max()
    assert half <= 0.75 + 1e-9
    assert radius <= 0.95 + 1e-9
    assert half == pytest.approx(0.75) or radius == pytest.approx(0.95)
    assert fitted.mean(0) == pytest.approx([0, 0, 0], abs=1e-9)


@pytest.mark.parametrize("grey", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("word", [w for w in captions.COLORS if w not in ("black", "white")])
def test_recoloured_pieces_show_the_colour_whether_dark_or_bright(grey: float, word: str) -> None:
    rgb = torch.tensor([captions.COLORS[word]])
    image = data.recolour(torch.full((1, 3, 2, 2), grey), torch.tensor([grey]), rgb)
    assert image[0, :, 0, 0].tolist() == pytest.approx(captions.COLORS[word], abs=1e-5)


def test_recolouring_keeps_relative_brightness() -> None:
    albedo = torch.full((1, 3, 1, 2), 0.2)
    albedo[..., 1] = 0.6
    image = data.recolour(albedo, torch.tensor([0.4]), torch.tensor([[0.8, 0.1, 0.1]]))
    dark, bright = image[0, 0, 0].tolist()
    assert dark < 0.8 < bright <= 0.8 * 1.15 + 1e-6


def test_shading_runs_from_ambient_to_full() -> None:
    normal = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]).view(2, 3, 1, 1)
    light = torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3)
    image = data.shade(torch.ones(2, 3, 1, 1), normal, light, torch.full((2,), 0.3))
    assert image.flatten().tolist() == pytest.approx([1.0] * 3 + [0.3] * 3)


def test_properties_are_read_with_escapes() -> None:
    text = "# note\nname#1=Caf\\u00e9 chair\ntags#1=a,\\\n  b\nmodel#1=/x/y\\:z.obj\n"
    assert catalogue.read_properties(text) == {"name#1": "Café chair", "tags#1": "a,b", "model#1": "/x/y:z.obj"}


def test_a_licence_file_outranks_the_catalogue() -> None:
    assert attribution.licence_of("Public domain", "") == attribution.CC0
    assert attribution.licence_of("Creative Commons Attribution 3.0", "") == attribution.BY
    enclosed = "Released under <b>Creative Commons Attribution 3.0</b>"
    assert attribution.licence_of("Public domain", enclosed) == attribution.BY
    assert attribution.licence_of("x", "under the license: Creative Commons Zero (Public Domain)") == attribution.CC0


def test_objects_are_named_once_and_in_lower_case() -> None:
    names = [thing.name for thing in objects.THINGS]
    keys = [key for thing in objects.THINGS for key in thing.keys]
    assert len(set(names)) == len(names)
    assert len(set(keys)) == len(keys)
    assert all(name == name.lower() for name in names)
    assert {"hamburger", "snowman", "cactus", "mailbox", "chair"} <= set(names)
    assert len(names) >= 150
    assert len(set(objects.SYNONYMS)) == sum(len(thing.synonyms) for thing in objects.THINGS)
    assert not set(objects.SYNONYMS) & set(names)
    assert export.card(3)["objects"] == [*names, *objects.SYNONYMS]
    assert export.card(3)["trained_steps"] == 3


def test_every_piece_has_a_phrase_of_its_own_and_the_first_that_of_the_plain_name() -> None:
    phrases = [piece.words for thing in objects.THINGS for piece in thing.pieces]
    assert len({*phrases, *objects.SYNONYMS}) == len(phrases) + len(objects.SYNONYMS)
    assert all(thing.pieces[0].words == thing.name for thing in objects.THINGS)
    words = {word for phrase in (*phrases, *objects.SYNONYMS) for word in phrase.split()}
    assert not words & set(captions.COLORS)  # they are said before the phrase
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)


def test_things_are_read_from_lines() -> None:
    text = "# note\n\ncar, auto | a/b | -90\n    toy car | own/car-1\nclock | a/c | 0 | 0.6\n"
    car, clock = objects.read_things(text)
    assert car == objects.Thing(
        "car", ("auto",), (objects.Piece("a/b", "car", -90.0), objects.Piece("own/car-1", "toy car"))
    )
    assert clock.pieces == (objects.Piece("a/c", "clock", 0.0, 0.6),)
    for wrong in ("    toy car | a/b", "car", " | a/b", "car | a/b\n    toy car, toy | a/c", "car | a | 0 | 1 | 2"):
        with pytest.raises(ValueError, match="line . of the things is not"):
            objects.read_things(wrong)


def test_half_precision_text_encoder_is_loaded_as_float32(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"dtype": "float16", "hidden_size": 8}))
    export.load_as_float32(config)
    assert json.loads(config.read_text()) == {"dtype": "float32", "hidden_size": 8}


def test_the_loss_counts_the_noisiest_steps_in_full() -> None:
    denoising = train_unet.Denoising(None, None, None, torch.tensor([0.99, 0.5, 0.01]), train_unet.UnetSettings())
    torch.testing.assert_close(denoising.weight(denoising.alphas_cumprod), torch.tensor([0.05, 1.0, 1.0]))


def test_views_from_above_are_drawn_as_often_as_asked() -> None:
    camera = torch.tensor([[0.0, 61.0, 3.2], [0.0, 59.0, 3.2]])
    one = torch.ones(2)
    views = data.Views(one, one, one, camera, one, one, one, torch.tensor([0.2, 0.3]))
    torch.testing.assert_close(data.more_from_above(views, 60.0, 2.0).weight, torch.tensor([0.4, 0.3]))
