"""Tests of pictures and files as data, within the room of a page."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from bozzetto_report import pictures
from bozzetto_report.pictures import Room, evenly, shrunk


def png(width: int, height: int, noisy: bool = False) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels if noisy else 0 * pixels).save(stream, "PNG")
    return stream.getvalue()


def test_a_small_picture_stays_as_it_is():
    content = png(20, 10)
    assert shrunk(content, 100) == (content, "image/png")


def test_a_large_picture_becomes_a_smaller_jpeg():
    content, media_type = shrunk(png(600, 400, noisy=True), 100)
    with Image.open(io.BytesIO(content)) as small:
        assert small.size == (100, 67) and small.format == "JPEG" and media_type == "image/jpeg"


@pytest.mark.parametrize("content", [b"", b"no picture", png(20, 10)[:50], b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_damaged_pictures(content):
    with pytest.raises(ValueError):
        shrunk(content, 100)


def test_a_picture_of_too_many_pixels(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 100)
    with pytest.raises(ValueError, match="20 x 10 pixels"):
        shrunk(png(20, 10), 100)


def test_room_is_taken_and_what_finds_none_is_told(tmp_path):
    file = tmp_path / "mesh.glb"
    file.write_bytes(bytes(range(30)))
    room = Room(left=100)
    assert base64.b64decode(room.data(file) or "") == bytes(range(30)) and room.left == 60
    assert room.data(file, share=0.5) is None and "too large" in room.refused[0]
    assert room.data(tmp_path / "none.glb") is None and "cannot be read" in room.refused[1]
    assert (room.link(file, "video/mp4") or "").startswith("data:video/mp4;base64,") and room.left == 20


def test_evenly():
    assert evenly(range(100), 5) == [0, 25, 50, 74, 99]
    assert evenly([1, 2], 5) == [1, 2] and evenly([], 5) == []
