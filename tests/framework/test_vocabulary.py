"""Tests of closed vocabularies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bozzetto.errors import ModelError
from bozzetto.vocabulary import Vocabulary

WORDS = {"objects": ["coffee table", "t-shirt"], "colors": ["red"], "views": ["front"], "camera": {"fov_y_deg": 40}}


def write(folder: Path, values: object) -> Path:
    (folder / "bozzetto.json").write_text(json.dumps(values))
    return folder


def test_an_open_vocabulary_has_no_file(tmp_path: Path) -> None:
    assert Vocabulary.read(tmp_path) is None


def test_words_of_names_colours_views_and_grammar_are_known(tmp_path: Path) -> None:
    vocabulary = Vocabulary.read(write(tmp_path, WORDS))
    assert vocabulary is not None
    assert vocabulary.unknown("The red T-shirt, on a coffee table, front view") == ("on",)
    assert vocabulary.unknown("Frog! frog?") == ("frog",)
    assert vocabulary.unknown("") == ()


def test_a_notice_names_what_is_near_and_nothing_else(tmp_path: Path) -> None:
    vocabulary = Vocabulary(("hamburger", "snowman", "coffee table"), ("red",), ())
    notice = vocabulary.notice(("hamburgr", "xyzzy"), tmp_path)
    assert "the words 'hamburgr', 'xyzzy' are unknown to the model" in notice and " Nearest: hamburger. " in notice
    assert "Nearest" not in vocabulary.notice(("xyzzy",), tmp_path)


@pytest.mark.parametrize("values", [{"objects": []}, [], {"objects": 3, "colors": [], "views": []}])
def test_a_wrong_file_is_named(tmp_path: Path, values: object) -> None:
    with pytest.raises(ModelError, match=r"bozzetto.json must hold objects, colors and views"):
        Vocabulary.read(write(tmp_path, values))


def test_text_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "bozzetto.json").write_text("{")
    with pytest.raises(ModelError, match=r"bozzetto.json"):
        Vocabulary.read(tmp_path)
