"""Tests of files that browsers send: their names become safe paths, or are refused."""

import io

import pytest

from bozzetto.errors import UserError
from bozzetto_studio.uploads import Uploads, kind_of


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("cat.png", "cat.png"), ("../../etc/My Cat.JPG", "my-cat.jpg"), ("C:\\a\\b.webp", "b.webp"), ("x.GLB", "x.glb"),
        ("..\\.png.obj", "png.obj"), ("ünï.ply", "uni.ply"), ("猫.png", "untitled.png"), ("a" * 300 + ".png", "a" * 40 + ".png"),
    ],
)  # fmt: skip
def test_a_file_is_kept_under_a_safe_name(tmp_path, name, kept):
    uploads = Uploads(tmp_path / "uploads")
    found = uploads.keep(name, io.BytesIO(b"abc"))
    assert found == f"ba7816bf8f01cfea/{kept}"
    assert uploads.path(found).read_bytes() == b"abc" and uploads.path(found).is_relative_to(tmp_path / "uploads")
    assert uploads.keep(name, io.BytesIO(b"abc")) == found and len(list(uploads.folder.iterdir())) == 1


@pytest.mark.parametrize("name", ["a.exe", "png", ".png/", "a.png.html", "a.svg", ""])
def test_other_types_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="is neither a photo nor a mesh. Give one of: .png, .jpg"):
        Uploads(tmp_path).keep(name, io.BytesIO(b"abc"))
    assert not list(tmp_path.iterdir())


def test_an_empty_file_is_refused_and_nothing_stays(tmp_path):
    with pytest.raises(UserError, match=r"'a\.png' is empty"):
        Uploads(tmp_path).keep("a.png", io.BytesIO())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "kept", ["", "../x.png", "ba7816bf8f01cfea/../../x.png", "ba7816bf8f01cfea/none.png", "/etc/passwd"]
)
def test_only_what_was_kept_is_found(tmp_path, kept):
    Uploads(tmp_path).keep("a.png", io.BytesIO(b"abc"))
    with pytest.raises(UserError, match="Choose it again"):
        Uploads(tmp_path).path(kept)


def test_what_a_run_starts_from_follows_from_the_file():
    assert [kind_of(name) for name in ("", "x/a.png", "x/A.JPEG", "x/a.glb")] == ["words", "photo", "photo", "mesh"]
