"""Tests of small pictures."""

import io

import pytest
from PIL import Image

from bozzetto.errors import UserError
from bozzetto_studio.pictures import first_row


def test_the_first_row_shows_the_colours_of_the_first_views(tmp_path, a_picture):
    with Image.open(io.BytesIO(first_row(a_picture(tmp_path / "a.png"), 1, 2))) as small:
        assert small.size == (32, 16) and small.getpixel((16, 8))[0] > 240


def test_a_damaged_picture_is_told(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UserError, match=r"a\.png cannot be shown"):
        first_row(tmp_path / "a.png", 1, 2)
