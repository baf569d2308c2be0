"""Tests of the photo prior's tools: training images and scores of the encoder, and the folder. No GL, no weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bozzetto_plugins.guidance.camera_unet import CameraUNet
from bozzetto_plugins.guidance.photo_recall import SIDES
from bozzetto_priors.export import export_photo_prior
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


@pytest.fixture
def text_unet() -> CameraUNet:
    unet = CameraUNet(
        sample_size=8, cross_attention_dim=8, block_out_channels=(8,), norm_num_groups=4, things=3, grid_levels=1,
        grid_base_resolution=2, grid_finest_resolution=2, grid_log2_table_size=5, hidden_width=4, occupancy_cells=8,
    )  # fmt: skip
    unet.memory.occupied[1] = 255
    return unet


def test_the_memory_is_the_text_priors(text_unet: CameraUNet) -> None:
    unet = export_photo_prior.told_of_photos(text_unet)
    assert unet.config.told == "photo" and unet.config.in_channels == 96 and unet.config.cross_attention_dim == 16
    assert torch.equal(unet.memory.occupied, text_unet.memory.occupied)
    assert not hasattr(unet, "recall_thing")


def test_scores_follow_the_rows_of_the_memory() -> None:
    encoder = train_image_encoder.build_encoder(2).eval()
    picture = torch.rand(1, 3, 32, 32)
    before = encoder(pixel_values=picture).logits.unflatten(1, (-1, SIDES))[0]
    remembered = torch.tensor([False, True, False, True])
    ordered = export_photo_prior.in_order_of_memory(encoder, ["b", "a"], ["a", "forgotten", "b"], remembered)
    after = ordered(pixel_values=picture).logits.unflatten(1, (-1, SIDES))[0]
    torch.testing.assert_close(after[1], before[1])
    torch.testing.assert_close(after[3], before[0])
    assert (after[[0, 2]] == export_photo_prior.UNLIKELY).all()


def test_the_folder_is_a_zero123_that_the_guidance_loads(text_unet: CameraUNet, tmp_path: Path) -> None:
    from bozzetto_plugins.guidance.config import Zero123Config
    from bozzetto_plugins.guidance.zero123 import Zero123

    folder = tmp_path / "prior"
    folder.mkdir()
    (folder / "README.md").write_text("kept")
    encoder = export_photo_prior.in_order_of_memory(
        train_image_encoder.build_encoder(2), ["a", "b"], ["a", "b"], torch.tensor([False, True, True])
    )
    export_photo_prior.export(folder, export_photo_prior.told_of_photos(text_unet), encoder)
    layer = load_file(folder / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(layer["proj.weight"], torch.eye(16))
    assert (folder / "README.md").read_text() == "kept"
    for config in folder.glob("*/config.json"):
        assert not {"_name_or_path", "id2label"} & set(json.loads(config.read_text()))
    guidance = Zero123(Zero123Config(model=str(folder), dtype="float32"), folder, torch.device("cpu"))
    assert guidance.recall is not None
    assert guidance.embedding.encode(torch.rand(1, 3, 64, 64)).shape == (1, 3 * SIDES)
