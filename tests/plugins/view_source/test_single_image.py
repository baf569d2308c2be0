"""Tests of `single-image`: the contract, framing of photos, and unusable photos."""

from __future__ import annotations

import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.errors import ConfigError
from bozzetto.kinds.view_source import ReferenceSource
from bozzetto.testing.view_source import ViewSourceContract
from bozzetto_plugins.view_source.config import SingleImageConfig
from bozzetto_plugins.view_source.photo import load_photo
from bozzetto_plugins.view_source.single_image import SingleImage


def save(folder: Path, pixels: np.ndarray, name: str = "photo.png", mode: str | None = None) -> str:
    path = folder / name
    Image.fromarray(pixels, mode).save(path)
    return str(path)


def rgba(height: int = 64, width: int = 64, box: tuple[int, int, int, int] = (16, 16, 48, 48)) -> np.ndarray:
    """Return a red square (top, left, bottom, right) on a transparent background."""
    pixels = np.zeros((height, width, 4), np.uint8)
    top, left, bottom, right = box
    pixels[top:bottom, left:right] = (255, 0, 0, 255)
    return pixels


@pytest.fixture
def photo(tmp_path: Path) -> str:
    return save(tmp_path, rgba())


class TestContract(ViewSourceContract):
    @pytest.fixture(autouse=True)
    def _photo(self, photo: str) -> None:
        self.photo = photo

    def make(self) -> SingleImage:
        return SingleImage(SingleImageConfig(self.photo, elevation_deg=20.0, azimuth_deg=30.0))

    def test_the_generator_decides_everything(self) -> None:
        """No random numbers are used: the camera is the photo's."""
        assert torch.equal(self._sample(3).c2w, self._sample(4).c2w)


def test_the_camera_is_the_photos_and_the_resolution_grows(photo: str) -> None:
    config = SingleImageConfig(
        photo, elevation_deg=20.0, azimuth_deg=-30.0, distance=2.5, fov_y_deg=40.0, height=(16, 32), width=(24, 48),
        resolution_milestones=(10,),
    )  # fmt: skip
    source = SingleImage(config)
    early, late = (source.sample(step, torch.Generator()) for step in (9, 10))
    assert (early.height, early.width, late.height, late.width) == (16, 24, 32, 48)
    assert early.azimuth_deg.item() == pytest.approx(-30.0, abs=1e-3)
    assert early.elevation_deg.item() == pytest.approx(20.0, abs=1e-3)
    assert early.distance.item() == pytest.approx(2.5)
    assert early.fov_y_rad.item() == pytest.approx(np.radians(40.0))
    reference = source.reference(torch.device("cpu"))
    torch.testing.assert_close(reference.camera.c2w, early.c2w)
    assert isinstance(source, ReferenceSource)


def test_an_unknown_elevation_must_be_estimated_first(photo: str) -> None:
    source = SingleImage(SingleImageConfig(photo, elevation_deg="estimate"))
    assert source.elevation_deg is None
    with pytest.raises(RuntimeError, match="before it has been estimated"):
        source.reference(torch.device("cpu"))
    source.elevation_deg = 25.0
    assert source.sample(0, torch.Generator()).elevation_deg.item() == pytest.approx(25.0, abs=1e-3)
    assert source.eval_cameras(2, torch.device("cpu")).elevation_deg[0].item() == pytest.approx(15.0, abs=1e-3)


def bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((mask[..., 0] > 0.5).any(1))[0], np.nonzero((mask[..., 0] > 0.5).any(0))[0]
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def test_recentring_moves_and_scales_without_resampling(tmp_path: Path) -> None:
    path = save(tmp_path, rgba(80, 100, (0, 70, 30, 100)))
    found = load_photo(SingleImageConfig(path, framing="recentre", object_fraction=0.6))
    assert found.image.shape == (50, 50, 3)
    assert bounds(found.mask) == (10, 10, 40, 40)
    assert (found.image[10:40, 10:40] == [1.0, 0.0, 0.0]).all()


def test_keeping_only_makes_square(tmp_path: Path) -> None:
    path = save(tmp_path, rgba(64, 100, (0, 70, 30, 100)))
    found = load_photo(SingleImageConfig(path, framing="keep"))
    assert found.image.shape == (100, 100, 3)
    assert bounds(found.mask) == (18, 70, 48, 100)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((12, 12, 52, 52), True),  # centred, 40 of 64 where 0.66 would give 42
        ((12, 20, 52, 60), False),  # off-centre
        ((26, 26, 38, 38), False),  # tiny
        ((0, 4, 64, 60), False),  # cut off
    ],
)
def test_auto_keeps_what_lies_well(tmp_path: Path, box: tuple[int, int, int, int], kept: bool) -> None:
    path = save(tmp_path, rgba(box=box))
    found = load_photo(SingleImageConfig(path, framing="auto", object_fraction=0.66))
    assert (bounds(found.mask) == box and len(found.mask) == 64) is kept


def test_large_photos_are_made_smaller(tmp_path: Path) -> None:
    source = SingleImage(SingleImageConfig(save(tmp_path, rgba(200, 200, (40, 40, 160, 160))), max_side=50))
    reference = source.reference(torch.device("cpu"))
    assert reference.mask.shape == (50, 50, 1)
    assert (reference.camera.height, reference.camera.width) == (50, 50)
    inside = reference.image[reference.mask[..., 0] > 0.5]
    torch.testing.assert_close(inside, torch.tensor([1.0, 0.0, 0.0]).expand_as(inside), atol=1e-3, rtol=0.0)


def test_depth_and_normal_maps_go_with_the_photo(tmp_path: Path) -> None:
    image = save(tmp_path, rgba(64, 64, (16, 8, 48, 40)))
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8) * 4, (64, 64)).copy()
    depth = save(tmp_path, ramp, "depth.png")
    toward = np.full((64, 64, 3), (128, 128, 255), np.uint8)
    normal = save(tmp_path, toward, "normal.png")
    config = SingleImageConfig(image, framing="recentre", object_fraction=0.5, depth=depth, normal=normal)
    found = load_photo(config)
    line = found.depth[32, 16:48, 0]
    assert (np.diff(line) < 0.0).all(), "bright is near: depth falls along the ramp"
    np.testing.assert_allclose(found.normal[32, 32], [0.0, 0.0, 1.0], atol=0.01)
    dark = load_photo(replace(config, depth_near_is="dark"))
    assert (np.diff(dark.depth[32, 16:48, 0]) > 0.0).all()
    reference = SingleImage(replace(config, max_side=32)).reference(torch.device("cpu"))
    assert reference.depth.shape == (32, 32, 1) and reference.normal.shape == (32, 32, 3)
    with pytest.raises(ConfigError, match="depth: .* They must be of one size"):
        load_photo(replace(config, depth=save(tmp_path, ramp[:40], "small.png")))


def tiny_file_of_a_huge_picture(path: Path, side: int) -> None:
    """Return a PNG header that claims `side` pixels a side, with almost no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def test_a_file_that_is_not_there_names_its_neighbours(photo: str) -> None:
    wanted = str(Path(photo).parent / "foto.png")
    with pytest.raises(ConfigError, match=r"image: there is no file .*foto\.png\. Beside it: photo\.png"):
        load_photo(SingleImageConfig(wanted))


@pytest.mark.parametrize("side", [9000, 60000])
def test_a_decompression_bomb_is_not_opened(tmp_path: Path, side: int) -> None:
    tiny_file_of_a_huge_picture(tmp_path / "bomb.png", side)
    with pytest.raises(ConfigError, match="Make it smaller"):
        load_photo(SingleImageConfig(str(tmp_path / "bomb.png")))


def test_a_text_file_is_not_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(ConfigError, match="is not a picture, whatever its name says"):
        load_photo(SingleImageConfig(str(tmp_path / "a.png")))


def test_a_cut_off_file_is_damaged(tmp_path: Path, photo: str) -> None:
    (tmp_path / "half.png").write_bytes(Path(photo).read_bytes()[:80])
    with pytest.raises(ConfigError, match="is damaged"):
        load_photo(SingleImageConfig(str(tmp_path / "half.png")))


def bad_pictures(folder: Path) -> dict[str, tuple[str, str]]:
    """Yield file and message for each fault."""
    grey = np.full((64, 64), 40000, np.uint16)
    empty = rgba(box=(0, 0, 0, 0))
    return {
        "four pixels": (save(folder, rgba(2, 2, (0, 0, 2, 2)), "a.png"), "2 x 2 pixels; 32 a side are the least"),
        "CMYK": (save(folder, np.zeros((64, 64, 4), np.uint8), "b.jpg", "CMYK"), "CMYK, the colours of print"),
        "16 bits": (save(folder, grey, "c.png"), "more than 8 bits per channel"),
        "empty": (save(folder, empty, "d.png"), "is empty: hardly a pixel of it is opaque"),
    }


@pytest.mark.parametrize("what", ["four pixels", "CMYK", "16 bits", "empty"])
def test_bad_pictures_are_told(tmp_path: Path, what: str) -> None:
    path, message = bad_pictures(tmp_path)[what]
    with pytest.raises(ConfigError, match=f"image: .*{message}"):
        load_photo(SingleImageConfig(path))


def test_a_photo_without_transparency_needs_matting(tmp_path: Path) -> None:
    path = save(tmp_path, rgba()[..., :3])
    with pytest.raises(ConfigError, match="has no transparency.*matting=auto"):
        load_photo(SingleImageConfig(path, matting="off"))
    opaque = rgba(box=(0, 0, 64, 64))
    with pytest.raises(ConfigError, match="has no transparency"):
        load_photo(SingleImageConfig(save(tmp_path, opaque, "opaque.png"), matting="off"))


def fake_rembg(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    class U2netSession:
        @classmethod
        def u2net_home(cls) -> str:
            return str(home)

    package, sessions, module = ModuleType("rembg"), ModuleType("rembg.sessions"), ModuleType("rembg.sessions.u2net")
    package.__spec__ = module.__spec__ = object()
    package.new_session = lambda name: name

    def remove(picture: Image.Image, session: str) -> Image.Image:
        cut = picture.convert("RGBA")
        cut.putalpha(Image.fromarray(rgba()[..., 3]))
        return cut

    package.remove, module.U2netSession = remove, U2netSession
    for name, item in (("rembg", package), ("rembg.sessions", sessions), ("rembg.sessions.u2net", module)):
        monkeypatch.setitem(sys.modules, name, item)


def test_matting_where_the_model_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, np.full((64, 64, 3), 200, np.uint8))
    fake_rembg(monkeypatch, tmp_path)
    with pytest.raises(ConfigError, match=r"is not on disk: .*u2net\.onnx.*rembg d u2net"):
        load_photo(SingleImageConfig(path))
    (tmp_path / "u2net.onnx").touch()
    assert bounds(load_photo(SingleImageConfig(path, framing="keep")).mask) == (16, 16, 48, 48)


def test_without_rembg_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rembg", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="rembg.*is not installed.*pip install"):
        load_photo(SingleImageConfig(save(tmp_path, rgba()[..., :3])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": " "}, "image: must name a file"),
        ({"elevation_deg": 91.0}, r"elevation_deg: must lie in \[-90, 90\]"),
        ({"azimuth_deg": 400.0}, "azimuth_deg: must lie in"),
        ({"distance": 0.0}, "distance: must lie in"),
        ({"fov_y_deg": 180.0}, "fov_y_deg: must lie in"),
        ({"object_fraction": 0.0}, "object_fraction: must lie in"),
        ({"max_side": 8}, "max_side: must lie in"),
        ({"height": (64, 128)}, "height: needs 1 entries"),
        ({"resolution_milestones": (5, 5)}, "resolution_milestones: must be ascending"),
        ({"eval_width": 0}, "eval_width: must lie in"),
    ],
)
def test_the_config_checks_itself(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SingleImageConfig("photo.png"), **change)
