"""Tests of the training views of pieces: cameras, light, paint. Nothing is rendered with OpenGL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bozzetto_plugins.guidance.solid_memory import MOST_TONE
from bozzetto_priors.judges import ground_truth
from bozzetto_priors.objects.furniture_catalogue import Part
from bozzetto_priors.objects.modelled_in_code import builders
from bozzetto_priors.objects.thing_table import Piece
from bozzetto_priors.views import render_views
from bozzetto_priors.views.rasteriser import Shown

ONE = np.ones((1, 1, 1, 1), "f4")


def bytes_of(colour: tuple[float, ...], normal: tuple[float, ...], alpha: float, takes: float) -> list[np.ndarray]:
    """Return albedo and normal of one pixel, as from `draw_views`."""
    albedo = np.asarray([*colour, alpha], "f4")[None, None, None]
    surface = np.asarray([*(0.5 * np.asarray(normal) + 0.5), takes], "f4")[None, None, None]
    return [render_views.in_bytes(list(each)) for each in (albedo, surface)]


def test_what_faces_the_light_is_bright_and_what_faces_away_is_dark() -> None:
    light = np.asarray(render_views.LIGHT)
    lit = [
        render_views.targets_of(*bytes_of((0.8, 0.4, 0.2), side * light, 1.0, 0.0), 0.5)[0, 0, 0]
        for side in (1.0, -1.0)
    ]
    bright, dark = render_views.AMBIENT + render_views.DIFFUSE, render_views.AMBIENT - render_views.DIFFUSE
    for target, gain in zip(lit, (bright, dark), strict=True):
        expected = torch.tensor([0.8, 0.4, 0.2]) * gain * 255.0
        torch.testing.assert_close(target[:3].float(), expected, rtol=0.0, atol=3.0)
        assert target[3] == 255 and not target[4:].any()


def test_all_targets_are_multiplied_by_opacity() -> None:
    whole = render_views.targets_of(*bytes_of((0.8, 0.4, 0.2), (0, 0, 1), 1.0, 1.0), 0.5).float()
    half = render_views.targets_of(*bytes_of((0.8, 0.4, 0.2), (0, 0, 1), 0.5, 1.0), 0.5).float()
    torch.testing.assert_close(half, whole * 128 / 255, rtol=0.0, atol=1.0)
    torch.testing.assert_close(whole[..., 5:8], whole[..., :3])  # the whole colour takes paint


@pytest.mark.parametrize(("takes", "put", "expected"), [(1.0, 1.0, "paint"), (1.0, 0.0, "own"), (0.0, 1.0, "own")])
def test_paint_replaces_the_colour_where_it_is_taken(takes: float, put: float, expected: str) -> None:
    own, paint = (0.5, 0.5, 0.5), torch.tensor([[0.2, 0.9, 0.1]])
    targets = render_views.targets_of(*bytes_of(own, render_views.LIGHT, 1.0, takes), 0.5)
    picture = render_views.painted(targets, paint, torch.tensor([put]))[0, 0, 0]
    lit = render_views.AMBIENT + render_views.DIFFUSE * float(np.square(render_views.LIGHT).sum())
    wanted = paint[0] if expected == "paint" else torch.tensor(own)  # grey, as light as the piece: a tone of 1
    torch.testing.assert_close(picture, torch.tensor([*(wanted * lit).clamp(max=1.0), 1.0]), rtol=0.0, atol=0.01)


def test_tones_stay_in_their_range() -> None:
    for colour, tone in (((1.0, 1.0, 1.0), render_views.TONES[1]), ((0.0, 0.0, 0.0), render_views.TONES[0])):
        target = render_views.targets_of(*bytes_of(colour, render_views.LIGHT, 1.0, 1.0), 0.3)[0, 0, 0, 8]
        assert target.item() / 255.0 * MOST_TONE == pytest.approx(tone, abs=0.02)


def test_cameras_are_drawn_all_round_and_always_the_same() -> None:
    rows = render_views.draw_cameras(120, seed=3)
    np.testing.assert_array_equal(rows, render_views.draw_cameras(120, seed=3))
    assert not np.array_equal(rows, render_views.draw_cameras(120, seed=4))
    azimuth, elevation, distance = rows.T
    assert np.diff(np.sort(azimuth)).max() < 8.0 and azimuth.min() >= -180.0 and azimuth.max() < 180.0
    assert elevation.min() >= render_views.ELEVATION_DEG[0] and 60.0 < elevation.max() <= render_views.ELEVATION_DEG[1]
    assert distance.min() >= render_views.DISTANCE[0] and distance.max() <= render_views.DISTANCE[1]


def test_some_views_are_held_out_of_what_is_read(tmp_path: Path) -> None:
    rows = render_views.draw_cameras(24, seed=0)
    shown = np.full((24, 2, 2, 4), 255, np.uint8)
    box = np.asarray([[-1, -1, -1], [1, 1, 1]], "f4")
    np.savez(tmp_path / "piece.npz", albedo=shown, normal=shown, camera=rows, box=box, main_luma=0.5)
    read = render_views.load_views(tmp_path / "piece.npz")
    assert read.held_out.tolist() == [6, 18]
    assert sorted([*read.held_out.tolist(), *read.trained.tolist()]) == list(range(24))
    assert read.targets.shape == (24, 2, 2, 9)
    position = read.c2w[:, :3, 3]
    torch.testing.assert_close(position.norm(dim=1), torch.from_numpy(rows[:, 2]))
    assert torch.rad2deg(read.fov_y_rad).unique().item() == pytest.approx(40.0)


class Painted:
    """Renderer that draws parts as areas of one colour each."""

    def __init__(self, colours: list[tuple[float, ...]], shares: list[int]) -> None:
        self.albedo = np.repeat(np.asarray(colours), shares, axis=0)[None]
        self.number = np.repeat(np.arange(len(colours)), shares)[None]

    def draw_numbers(self, eye: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
        return self.albedo, self.number

    def draw(self, eye: np.ndarray, paint: tuple[float, ...], fov_y_deg: float) -> Shown:
        ones = np.ones((2, 2, 1), "f4")
        return Shown(0.5 * np.repeat(ones, 3, -1), np.repeat(ones, 3, -1), paint[0] * ones, ones)


def test_one_paints_what_shows_most_and_its_like_but_rather_not_what_is_black() -> None:
    black, red, dark_red, glass = (0.03, 0.03, 0.03), (0.8, 0.1, 0.1), (0.75, 0.1, 0.12), (0.7, 0.8, 0.9)
    paint = render_views.what_to_paint(Painted([black, red, dark_red, glass], [40, 25, 10, 25]), 5)
    assert paint.of_part == (0.0, 1.0, 1.0, 0.0, 0.0)
    assert paint.luma == pytest.approx(
        (25 * np.dot(red, render_views.LUMA) + 10 * np.dot(dark_red, render_views.LUMA)) / 35
    )
    assert render_views.what_to_paint(Painted([black], [10]), 1).of_part == (1.0,)


def test_what_is_drawn_is_in_bytes() -> None:
    shown = render_views.draw_views(Painted([(0.5,) * 3], [1]), (0.25,), [np.ones(3), np.ones(3)])
    assert shown["albedo"].shape == shown["normal"].shape == (2, 2, 2, 4)
    assert shown["albedo"][0, 0, 0].tolist() == [128, 128, 128, 255]
    assert shown["normal"][0, 0, 0].tolist() == [255, 255, 255, 64]


def test_parts_of_one_material_become_one() -> None:
    def part(colour: tuple[float, ...], texture: np.ndarray | None = None) -> Part:
        points = np.zeros((3, 3), "f4")
        return Part(points=points, normals=points, uv=points[:, :2], colour=colour, texture=texture)

    picture = np.zeros((2, 2, 4), np.uint8)
    red, blue = (1.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)
    joined = render_views.joined([part(red), part(blue), part(red), part(red, picture), part(blue, picture.copy())])
    assert [len(one.points) for one in joined] == [6, 3, 6]


def test_a_piece_made_in_code_is_turned_too() -> None:
    ahead, turned = (
        render_views.load_piece(Piece("own/rocket-0", "rocket", yaw), {}, Path(), Path()) for yaw in (0.0, 90.0)
    )
    points, moved = (np.concatenate([part.points for part in parts]) for parts in (ahead, turned))
    np.testing.assert_allclose(moved, points[:, [1, 0, 2]] * [-1.0, 1.0, 1.0], atol=1e-6)
    assert sum(len(part.points) for part in builders.build("rocket-0")) == len(points)


def test_the_truth_is_seen_from_eight_sides_over_white() -> None:
    cameras = ground_truth.ring(16)
    assert len(cameras) == 8 and (cameras.height, cameras.width) == (16, 16)
    assert cameras.azimuth_deg.abs().max() <= 180.0 and cameras.azimuth_deg[0].item() == pytest.approx(0.0, abs=1e-4)
    picture = torch.tensor([0.4, 0.2, 0.0, 0.5]).view(1, 4, 1, 1)
    assert ground_truth.over_white(picture).flatten().tolist() == pytest.approx([0.9, 0.7, 0.5])
    half, white = torch.full((2, 3, 2, 2), 0.9), torch.ones(2, 3, 2, 2)
    half[1] = 0.99
    assert ground_truth.psnr(half, white) == pytest.approx(30.0)  # of 20 and 40
