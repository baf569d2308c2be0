"""Tests of the words that a form becomes."""

import io

import pytest

from bozzetto.errors import UserError
from bozzetto_studio.uploads import Uploads
from bozzetto_studio.wish import Wish, overrides


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "uploads")


@pytest.fixture
def words(uploads, tmp_path, studio):
    return lambda wish: wish.words(studio.offers, uploads, tmp_path)


def test_a_prompt(words, tmp_path):
    wish = Wish("  -x a\nred ${chair} ", recipe="dreamfusion-sd", seed="3", lines="a.b=1\n\n  c=two words \n")
    assert words(wish) == [
        "run", "--config", "dreamfusion-sd", "--profile=auto", f"output={tmp_path}", "prompt=-x a red ${chair}", "seed=3", "a.b=1", "c=two words",
    ]  # fmt: skip


def test_a_photo_and_a_mesh(words, uploads):
    photo, mesh = uploads.keep("cat.png", io.BytesIO(b"p")), uploads.keep("box.glb", io.BytesIO(b"m"))
    assert f"image={uploads.folder / photo}" in words(Wish(file=photo, recipe="zero123"))
    found = words(Wish("a box", mesh, "texture-mesh", "fast"))
    assert f"system.geometry.asset.path={uploads.folder / mesh}" in found and "--profile=fast" in found


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (Wish("a cat", recipe="zero124"), "recipe: there is no 'zero124'. Known: dreamfusion-sd."),
        (Wish("a cat", recipe="dreamfusion-ds"), "Did you mean 'dreamfusion-sd'?"),
        (Wish("a cat", recipe="zero123"), "zero123 starts from a photo, and what is given is a prompt alone. Choose one of: dreamfusion-sd."),
        (Wish("", recipe="dreamfusion-sd"), "prompt: is missing."),
        (Wish("a cat", recipe="dreamfusion-sd", lines="--dry-run"), "'--dry-run' is not an override"),
        (Wish("a cat", recipe="dreamfusion-sd", lines="--view=x"), "'--view=x' is not an override"),
        (Wish("a cat", recipe="dreamfusion-sd", lines="output=/tmp"), "output: the studio keeps runs in one folder"),
    ],
)  # fmt: skip
def test_mistakes_are_told(words, wish, why):
    with pytest.raises(UserError) as error:
        words(wish)
    assert why in str(error.value)


def test_a_form_may_lack_anything():
    assert Wish.of({}, "") == Wish() and overrides(" \n") == []
