"""Tests of the targets of training: light, paint, and held-out views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bozzetto_plugins.priors.solid_memory import MOST_TONE
from bozzetto_priors.views import training_views
from bozzetto_priors.views.rasteriser import in_bytes
from bozzetto_priors.views.render_views import draw_cameras


def bytes_of(colour: tuple[float, ...], normal: tuple[float, ...], alpha: float, takes: float) -> list[np.ndarray]:
    """Return albedo and normal of one pixel, as from `draw_views`."""
    albedo = np.asarray([*colour, alpha], "f4")[None, None, None]
    surface = np.asarray([*(0.5 * np.asarray(normal) + 0.5), takes], "f4")[None, None, None]
    return [in_bytes(list(each)) for each in (albedo, surface)]


def test_what_faces_the_light_is_bright_and_what_faces_away_is_dark() -> None:
    light = np.asarray(training_views.LIGHT)
    lit = [
        training_views.targets_of(*bytes_of((0.8, 0.4, 0.2), side * light, 1.0, 0.0), 0.5)[0, 0, 0]
        for side in (1.0, -1.0)
    ]
    bright, dark = training_views.AMBIENT + training_views.DIFFUSE, training_views.AMBIENT - training_views.DIFFUSE
    for target, gain in zip(lit, (bright, dark), strict=True):
        expected = torch.tensor([0.8, 0.4, 0.2]) * gain * 255.0
        torch.testing.assert_close(target[:3].float(), expected, rtol=0.0, atol=3.0)
        assert target[3] == 255 and not target[4:].any()


def test_all_targets_are_multiplied_by_opacity() -> None:
    whole = training_views.targets_of(*bytes_of((0.8, 0.4, 0.2), (0, 0, 1), 1.0, 1.0), 0.5).float()
    half = training_views.targets_of(*bytes_of((0.8, 0.4, 0.2), (0, 0, 1), 0.5, 1.0), 0.5).float()
    torch.testing.assert_close(half, whole * 128 / 255, rtol=0.0, atol=1.0)
    torch.testing.assert_close(whole[..., 5:8], whole[..., :3])  # the whole colour takes paint


@pytest.mark.parametrize(("takes", "put", "expected"), [(1.0, 1.0, "paint"), (1.0, 0.0, "own"), (0.0, 1.0, "own")])
def test_paint_replaces_the_colour_where_it_is_taken(takes: float, put: float, expected: str) -> None:
    own, paint = (0.5, 0.5, 0.5), torch.tensor([[0.2, 0.9, 0.1]])
    targets = training_views.targets_of(*bytes_of(own, training_views.LIGHT, 1.0, takes), 0.5)
    picture = training_views.painted(targets, paint, torch.tensor([put]))[0, 0, 0]
    lit = training_views.AMBIENT + training_views.DIFFUSE * float(np.square(training_views.LIGHT).sum())
    wanted = paint[0] if expected == "paint" else torch.tensor(own)  # grey, as light as the piece: a tone of 1
    torch.testing.assert_close(picture, torch.tensor([*(wanted * lit).clamp(max=1.0), 1.0]), rtol=0.0, atol=0.01)


def test_tones_stay_in_their_range() -> None:
    for colour, tone in (((1.0, 1.0, 1.0), training_views.TONES[1]), ((0.0, 0.0, 0.0), training_views.TONES[0])):
        target = training_views.targets_of(*bytes_of(colour, training_views.LIGHT, 1.0, 1.0), 0.3)[0, 0, 0, 8]
        assert target.item() / 255.0 * MOST_TONE == pytest.approx(tone, abs=0.02)


def test_some_views_are_held_out_of_what_is_read(tmp_path: Path) -> None:
    rows = draw_cameras(24, seed=0)
    shown = np.full((24, 2, 2, 4), 255, np.uint8)
    box = np.asarray([[-1, -1, -1], [1, 1, 1]], "f4")
    np.savez(tmp_path / "piece.npz", albedo=shown, normal=shown, camera=rows, box=box, main_luma=0.5)
    read = training_views.load_views(tmp_path / "piece.npz")
    assert read.held_out.tolist() == [6, 18]
    assert sorted([*read.held_out.tolist(), *read.trained.tolist()]) == list(range(24))
    assert read.targets.shape == (24, 2, 2, 9)
    position = read.c2w[:, :3, 3]
    torch.testing.assert_close(position.norm(dim=1), torch.from_numpy(rows[:, 2]))
    assert torch.rad2deg(read.fov_y_rad).unique().item() == pytest.approx(40.0)
