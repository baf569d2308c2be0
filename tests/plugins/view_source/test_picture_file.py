"""Tests of image files: supported formats, names of unsupported ones, bounded memory."""

from __future__ import annotations

import os
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from bozzetto.errors import ConfigError
from bozzetto_plugins.view_source import picture_file
from bozzetto_plugins.view_source.config import SingleImageConfig
from bozzetto_plugins.view_source.photo import load_photo
from bozzetto_plugins.view_source.picture_file import read_picture


def ball() -> np.ndarray:
    """Return a coloured disc on a transparent background."""
    y, x = np.mgrid[0:64, 0:64]
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 0], pixels[..., 1] = 3 * x, 3 * y
    pixels[..., 3] = 255 * (np.hypot(y - 31.5, x - 31.5) < 20)
    return pixels


def ftyp(*brands: bytes) -> bytes:
    """Return the first box of an ISO base media file."""
    content = brands[0] + b"\0\0\0\0" + b"".join(brands[1:])
    return struct.pack(">I", 8 + len(content)) + b"ftyp" + content + b"\0" * 64


NOT_READ = {
    "photo.heic": (ftyp(b"heic", b"mif1", b"heic"), "a HEIC picture.*Convert it to PNG, or pip install pillow-heif"),
    "still.png": (ftyp(b"mif1", b"heic"), "a HEIC picture"),
    "a.avif": (ftyp(b"mif1", b"avif"), "an AVIF picture.*Convert it to PNG"),
    "a.cr3": (ftyp(b"crx "), "a RAW photo"),
    "a.nef": (b"MM\0*" + b"\0" * 99, "a RAW photo"),
    "a.mp4": (ftyp(b"isom", b"mp42"), "a video. Save one picture"),
    "a.gif": (b"GIF89a" + b"\0" * 99, "a GIF"),
    "a.psd": (b"8BPS" + b"\0" * 99, "Photoshop"),
    "a.pdf": (b"%PDF-1.7" + b"\0" * 99, "a PDF"),
    "a.eps": (b"%!PS-Adobe" + b"\0" * 99, "EPS"),
    "svg.png": (b"<?xml version='1.0'?>\n<svg/>", "an SVG"),
    "page.png": (b"<!DOCTYPE html><p>404", "a web page: the download went wrong"),
    "lfs.png": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "none.png": (b"", "is empty, 0 bytes"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_not_read_is_named_with_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    content, message = NOT_READ[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"image: .*{message}") as caught:
        read_picture(tmp_path / name, "image")
    assert "\n" not in str(caught.value)


def test_no_decoder_runs_but_those_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = []
    whole = Image.open

    def watched(path, mode="r", formats=None):
        wanted.append(formats)
        return whole(path, mode, formats)

    monkeypatch.setattr(Image, "open", watched)
    Image.fromarray(ball()).save(tmp_path / "a.png")
    read_picture(tmp_path / "a.png", "depth")
    Image.fromarray(ball()[..., :3]).save(tmp_path / "a.ppm")
    with pytest.raises(ConfigError, match="depth: .*a Netpbm picture"):
        read_picture(tmp_path / "a.ppm", "depth")
    assert wanted == [("PNG", "JPEG", "WEBP", "BMP", "TIFF")]


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Container:
        size = (64, 64)

        def to_pillow(self) -> Image.Image:
            return Image.fromarray(ball())

    module = ModuleType("pillow_heif")
    module.__spec__, module.open_heif = object(), lambda path: Container()
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    (tmp_path / "a.heic").write_bytes(NOT_READ["photo.heic"][0])
    found = read_picture(tmp_path / "a.heic", "image")
    assert found.transparent and np.array_equal(np.asarray(found.image), ball())
    Container.size = (9000, 9000)
    with pytest.raises(ConfigError, match="9000 x 9000 pixels; at most 50 million"):
        read_picture(tmp_path / "a.heic", "image")


def test_what_is_no_regular_file_is_told_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for path, message in (
        (tmp_path / "pipe.png", "is not a regular file"),
        (tmp_path / "folder.png", "is a folder. Give a picture in it"),
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
    ):
        with pytest.raises(ConfigError, match=f"image: .*{message}"):
            read_picture(path, "image")


def test_a_file_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(ball()).save(tmp_path / "a.png")

    def refuse(self, *arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=r"a\.png cannot be read: Permission denied"):
        read_picture(tmp_path / "a.png", "image")


def with_chunk(content: bytes, kind: bytes, data: bytes) -> bytes:
    """Return a PNG with one more chunk before its pixels."""
    at = content.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content[:at] + chunk + content[at:]


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_chunk_that_unpacks_to_a_gigabyte_is_refused(tmp_path: Path, kind: bytes) -> None:
    Image.fromarray(ball()).save(tmp_path / "a.png")
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    (tmp_path / "a.png").write_bytes(with_chunk((tmp_path / "a.png").read_bytes(), kind, b"a\0\0" + packed))
    with pytest.raises(ConfigError, match="is damaged: Decompressed data too large"):
        read_picture(tmp_path / "a.png", "image")


def test_modes(tmp_path: Path) -> None:
    whole = Image.fromarray(ball())
    whole.quantize(64).save(tmp_path / "palette.png")
    found = read_picture(tmp_path / "palette.png", "image")
    assert found.transparent and found.image.getpixel((0, 0))[3] == 0 and found.image.getpixel((32, 32))[3] == 255
    whole.convert("1").save(tmp_path / "bits.png")
    assert not read_picture(tmp_path / "bits.png", "image").transparent
    Image.merge("LAB", whole.split()[:3]).save(tmp_path / "lab.tif")
    with pytest.raises(ConfigError, match="colours of mode LAB. Save it as RGB"):
        read_picture(tmp_path / "lab.tif", "image")


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_of_an_animation_the_first_picture_is_used_and_told(tmp_path: Path, name: str) -> None:
    first, second = Image.fromarray(ball()), Image.fromarray(np.roll(ball(), 9, 0))
    first.save(tmp_path / name, save_all=True, append_images=[second], lossless=True)
    found = read_picture(tmp_path / name, "image")
    assert found.notices == (f"{name} is animated: its first picture is used",)
    assert np.array_equal(np.asarray(found.image)[..., 3], ball()[..., 3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(ball()[:40]).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        expected = ImageOps.exif_transpose(opened)
    found = read_picture(tmp_path / "a.png", "image")
    assert found.size == expected.size and np.array_equal(np.asarray(found.image), np.asarray(expected))


def test_absurd_exif_is_no_obstacle(tmp_path: Path) -> None:
    Image.fromarray(ball()[..., :3]).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0" + b"\xff" * 64)
    assert read_picture(tmp_path / "a.jpg", "image").size == (64, 64)


def test_large_pictures_are_reduced_as_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours are weighted by opacity, so that hidden colours under transparency do not contribute."""
    monkeypatch.setattr(picture_file, "WORKING_PIXELS", 40 * 40)
    monkeypatch.setattr(picture_file, "BAND_ROWS", 8)
    pixels = np.full((100, 100, 4), (0, 255, 0, 0), np.uint8)
    pixels[21:80, 21:80] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png", "image")
    assert found.size == (100, 100) and found.image.size == (34, 34)
    small = np.asarray(found.image)
    assert (small[small[..., 3] > 20][:, :3] == (255, 0, 0)).all()
    Image.fromarray(pixels[..., :3]).save(tmp_path / "a.jpg", quality=95)
    found = read_picture(tmp_path / "a.jpg", "image")
    assert found.size == (100, 100) and found.image.width <= 50


def test_a_long_strip_takes_no_more_than_its_pixels(tmp_path: Path) -> None:
    """32 x 10000 pixels padded to a square would be a hundred million."""
    strip = np.zeros((10000, 32, 4), np.uint8)
    strip[100:-100, 8:24] = (200, 30, 20, 255)
    Image.fromarray(strip).save(tmp_path / "strip.png")
    tracemalloc.start()
    for framing in ("auto", "recentre", "keep"):
        found = load_photo(SingleImageConfig(str(tmp_path / "strip.png"), framing=framing, max_side=256))
        assert found.image.shape == (256, 256, 3) and found.mask.max() > 0.1
    assert 10000 * 32 * 4 < tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    tiny = load_photo(SingleImageConfig(str(tmp_path / "strip.png"), object_fraction=0.01, max_side=64))
    assert tiny.mask.shape == (64, 64, 1)
