"""Tests of the photo prior's encoder: its training images, its loss, and its training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bozzetto_plugins.priors.photo_recall import SIDES
from bozzetto_priors.training import train_image_encoder

SIZE = train_image_encoder.SIZE


def surface(count: int = 3) -> torch.Tensor:
    """Return a grey disc that faces the camera and takes paint."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    disc = torch.from_numpy((x**2 + y**2 < 20**2).astype("f4"))
    channels = torch.tensor([0.5, 0.5, 0.5, 1.0, 1.0, 0.5, 0.5, 1.0])
    return (disc[..., None] * channels).expand(count, -1, -1, -1)


def test_pictures_are_over_white_and_differ_in_light_and_colour() -> None:
    shown = train_image_encoder.draw_pictures(surface(16), torch.full((16,), 0.5), torch.Generator().manual_seed(0))
    assert shown.shape == (16, 3, SIZE, SIZE) and shown.abs().max() <= 1.0
    assert (shown[:, :, 0, 0] == 1.0).all()
    middle = shown[:, :, SIZE // 2, SIZE // 2]
    assert middle.std(dim=0).min() > 0.05
    painted = (middle.amax(dim=1) - middle.amin(dim=1)) > 0.3
    assert 2 <= int(painted.sum()) <= 14


def test_views_are_cropped_to_their_objects() -> None:
    albedo, normal = np.zeros((1, 32, 32, 4), np.uint8), np.zeros((1, 32, 32, 4), np.uint8)
    albedo[0, 4:12, 2:10], normal[0, 4:12, 2:10] = 200, 255
    albedo[0, 4:12, 2:10, 3] = 255
    cropped = train_image_encoder.crops_of(albedo, normal)
    assert cropped.shape == (1, SIZE, SIZE, 8)
    assert cropped[0, SIZE // 2, SIZE // 2].tolist() == [200, 200, 200, 255, 255, 255, 255, 255]
    filled = (cropped[0, ..., 3] > 127).mean()
    assert filled == pytest.approx(0.85**2, abs=0.05)


def test_the_loss_is_least_for_the_right_side_of_the_right_thing() -> None:
    thing, azimuth = torch.tensor([1]), torch.tensor([37.5])  # halfway between the third side and the fourth
    losses = {}
    for row in (0, 1):
        for side in (1, 2, 3, 14):
            logits = torch.zeros(1, 2, SIDES)
            logits[0, row, side] = 5.0
            losses[row, side], right, near = train_image_encoder.loss_of(logits.flatten(1), thing, azimuth)
            assert bool(right) == (row == 1)
    assert losses[1, 2] == losses[1, 3] < losses[1, 1] < losses[0, 2]
    assert not near, "a far side of the thing is not told right"


def test_training_leaves_an_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = train_image_encoder.Crops(
        (255 * surface(24).view(2, 12, SIZE, SIZE, 8)).to(torch.uint8).numpy(),
        torch.zeros(2, 12),
        torch.full((2,), 0.5),
    )
    train_image_encoder.train(crops, tmp_path / "encoder", 1e-6)
    assert "held_out" in json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (tmp_path / "encoder" / "model.safetensors").exists()
