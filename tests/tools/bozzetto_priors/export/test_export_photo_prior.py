"""Tests of the photo prior's folder: its memory, the order of the encoder's scores, and that it loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bozzetto.model_files import shared_weights
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_plugins.priors.patch_codec import PatchCodec
from bozzetto_plugins.priors.photo_recall import SIDES
from bozzetto_priors.export import export_photo_prior
from bozzetto_priors.training import train_image_encoder


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


def test_equal_weights_are_shared_with_the_text_prior_beside_it(text_unet: CameraUNet, tmp_path: Path) -> None:
    prior, folder = tmp_path / "text", tmp_path / "photo"
    PatchCodec().save_pretrained(prior / "vae")
    encoder = train_image_encoder.build_encoder(2)
    export_photo_prior.export(folder, export_photo_prior.told_of_photos(text_unet), encoder, prior)
    place = "vae/diffusion_pytorch_model.safetensors"
    assert shared_weights(folder) == {place: folder / f"../text/{place}"} and not (folder / place).exists()
    Denoiser(folder, torch.device("cpu"), torch.float32, image_conditioned=True)
