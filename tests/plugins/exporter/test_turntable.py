"""Tests of `turntable`: frames and size of the video, layout and colours of the contact sheet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.errors import ExportError
from bozzetto.testing.exporter import ExporterContract, PlainRenderer, sphere_scene
from bozzetto.types import Rendered
from bozzetto_plugins.exporter.config import TurntableConfig
from bozzetto_plugins.exporter.contact_sheet import LABEL_HEIGHT
from bozzetto_plugins.exporter.turntable import Turntable

SMALL = TurntableConfig(frames=6, size=32, sides=3)


class TestTurntable(ExporterContract):
    def make(self) -> Turntable:
        return Turntable(SMALL)


def read_video(path: Path) -> tuple[dict, np.ndarray]:
    reader = imageio_ffmpeg.read_frames(str(path))
    facts = next(reader)
    width, height = facts["size"]
    return facts, np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


def test_the_video_has_every_frame_at_the_right_size(tmp_path: Path) -> None:
    Turntable(SMALL).export(sphere_scene(), tmp_path, lambda line: None)
    facts, frames = read_video(tmp_path / "turntable.mp4")
    assert frames.shape == (6, 32, 32, 3)
    assert facts["codec"] == "h264" and facts["pix_fmt"].startswith("yuv420p") and facts["fps"] == 30.0
    assert frames[:, 0, 0].min() > 245, "the background is white"
    red, green, blue = frames[0, 16, 16].astype(float)
    assert red > green > blue, "the ball's features are (1, 0, -1)"


def test_the_contact_sheet_has_a_column_per_side_and_three_rows(tmp_path: Path) -> None:
    config = replace(SMALL, outputs=("contact-sheet",))
    (sheet,) = Turntable(config).export(sphere_scene(), tmp_path, lambda _: None).files
    picture = np.asarray(Image.open(sheet)).astype(float)
    assert picture.shape == (LABEL_HEIGHT + 3 * 32, 3 * 32, 3)
    assert picture[:LABEL_HEIGHT].min() < 100, "the azimuth is written on top"
    color, normal, depth = picture[LABEL_HEIGHT:].reshape(3, 32, 96, 3)
    assert (color[0, 0] == 255).all() and (normal[0, 0] == 255).all() and (depth[0, 0] == 0).all()
    # At azimuth 0 the normal at the image centre points to the camera on +x, 20 degrees up.
    expected = 127.5 * (1.0 + np.array([np.cos(np.radians(20.0)), 0.0, np.sin(np.radians(20.0))]))
    assert np.abs(normal[15:17, 15:17].mean((0, 1)) - expected).max() < 8.0
    assert depth[16, 16].mean() > depth[16, 6].mean() > 0.0, "the middle of the ball is nearest"


def test_the_scenes_own_background_can_be_kept(tmp_path: Path) -> None:
    config = replace(SMALL, outputs=("contact-sheet",), background="scene")
    (sheet,) = Turntable(config).export(sphere_scene(), tmp_path, lambda _: None).files
    assert np.asarray(Image.open(sheet))[LABEL_HEIGHT, 0].tolist() == [51, 102, 153]


def test_only_the_sides_are_rendered_with_normals_and_only_once(tmp_path: Path) -> None:
    asked: list[bool] = []

    class Counting(PlainRenderer):
        def __call__(self, *inputs: object, normal: bool = False, generator: object = None) -> Rendered:
            asked.append(normal)
            return super().__call__(*inputs, normal=normal)

    Turntable(SMALL).export(replace(sphere_scene(), renderer=Counting()), tmp_path, lambda line: None)
    assert asked == [True, False] * 3


def test_a_renderer_without_normals_gives_two_rows(tmp_path: Path) -> None:
    class Plain(PlainRenderer):
        def __call__(self, *inputs: object, normal: bool = False, generator: object = None) -> Rendered:
            return replace(super().__call__(*inputs), normal=None)

    config = replace(SMALL, outputs=("contact-sheet",))
    (sheet,) = Turntable(config).export(replace(sphere_scene(), renderer=Plain()), tmp_path, lambda _: None).files
    assert Image.open(sheet).size == (96, LABEL_HEIGHT + 64)


def test_latents_are_no_pictures(tmp_path: Path) -> None:
    class Latent(PlainRenderer):
        def __call__(self, *inputs: object, normal: bool = False, generator: object = None) -> Rendered:
            return replace(super().__call__(*inputs, normal=normal), space="latent")

    with pytest.raises(ExportError) as caught:
        Turntable(SMALL).export(replace(sphere_scene(), renderer=Latent()), tmp_path, lambda line: None)
    assert str(caught.value) == (
        "The scene renders latent, not colours, so there are no pictures to write. "
        "Remove 'turntable' from export, or use a renderer that gives RGB."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 33}, "size: must be even and at least 16, got 33"),
        ({"frames": 0}, "frames: must lie in [1, 3600], got 0"),
        ({"frames": 4}, "sides: must be at most frames (4), got 8"),
        ({"outputs": ()}, "outputs: must name at least one of video, contact-sheet"),
    ],
)
def test_a_wrong_config_says_which_field_and_why(changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        TurntableConfig(**changes)
    assert str(caught.value) == message


def test_frames_are_cameras_of_the_scenes_view_source(tmp_path: Path) -> None:
    seen: list[float] = []

    class Watching(PlainRenderer):
        def __call__(self, *inputs: object, normal: bool = False, generator: object = None) -> Rendered:
            cameras = inputs[0]
            assert (cameras.height, cameras.width) == (32, 32)
            seen.append(float(cameras.azimuth_deg))
            return super().__call__(*inputs, normal=normal)

    Turntable(SMALL).export(replace(sphere_scene(), renderer=Watching()), tmp_path, lambda line: None)
    torch.testing.assert_close(torch.tensor(seen), torch.tensor([0.0, 60.0, 120.0, 180.0, -120.0, -60.0]))
