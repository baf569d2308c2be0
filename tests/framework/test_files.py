"""Tests of atomic files and safe names."""

import pytest

from bozzetto.files import sha256_of, slug, write_atomically, write_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a hamburger", "a-hamburger"),
        ("../../etc/passwd", "etc-passwd"),
        ("Crème brûlée!", "creme-brulee"),
        ("漢字", "untitled"),
        ("", "untitled"),
        ("a" * 100, "a" * 40),
        ("x" * 39 + " tail", "x" * 39),
    ],
)
def test_slug_is_always_a_safe_name(text, expected):
    assert slug(text) == expected


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_sha256(tmp_path):
    path = write_text(tmp_path / "a.txt", "abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
