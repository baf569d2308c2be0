"""The image-and-pose prior's tools: pairs of one scene, poses, the widened denoiser. No GL, network or weights needed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn
from train_unet import UnetSettings, build_unet

import evaluate_zero123
import export_zero123
import image_encoder
import pair_pool
import pairs
import train_zero123
import unseen_views
from bozzetto.math.relative_pose import relative_pose
from bozzetto_plugins.guidance.image_embedding import load_projection


@pytest.fixture
def renders(tmp_path: Path) -> Path:
    """Two pieces of 48 tiny views: one red, one blue; a disc on nothing."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:8, :8]
    disc = ((x - 3.5) ** 2 + (y - 3.5) ** 2 < 9).astype(np.uint8)
    for key, color in (("a__red", (200, 0, 0)), ("b__blue", (0, 0, 200))):
        arrays = {
            "albedo": np.broadcast_to(np.array(color, np.uint8), (48, 8, 8, 3)) * disc[..., None],
            "normal": np.full((48, 8, 8, 3), 255, np.uint8),
            "alpha": np.broadcast_to(disc * 255, (48, 8, 8)),
            "camera": np.stack([rng.uniform(-180, 180, 48), rng.uniform(0, 45, 48), np.full(48, 3.2)], 1).astype("f4"),
        }
        np.savez(tmp_path / f"{key}.npz", **arrays)
    return tmp_path


def test_every_24th_view_is_held_out(renders: Path) -> None:
    keys = pairs.rendered_keys(renders)
    assert keys == ("a/red", "b/blue")
    assert pairs.load_pieces(renders, keys).camera.shape == (2, 46, 3)
    assert pairs.load_pieces(renders, keys, every=None).camera.shape == (2, 48, 3)


def test_a_scene_is_one_piece_in_one_light_over_white(renders: Path) -> None:
    torch.manual_seed(0)
    pieces = pairs.load_pieces(renders, ("a/red", "b/blue"))
    scenes = pairs.draw_scenes(pieces, 20, 3, random.Random(0))
    assert scenes.images.shape == (20, 3, 3, 8, 8) and scenes.camera.shape == (20, 3, 3)
    assert (scenes.images[:, :, :, 0, 0] == 1.0).all(), "white outside"
    middle = scenes.images[:, :, :, 4, 4]
    torch.testing.assert_close(middle, middle[:, :1].expand(-1, 3, -1))
    for piece, cameras in zip(scenes.piece, scenes.camera, strict=True):
        rows = (pieces.camera[piece][:, None] == cameras).all(-1).any(0)
        assert rows.all()


def test_framing_moves_some_pictures_and_fills_with_white() -> None:
    torch.manual_seed(0)
    images = torch.full((64, 3, 16, 16), 1.0)
    images[:, :, 6:10, 6:10] = -1.0
    moved = pairs.jitter_framing(images)
    same = (moved == images).flatten(1).all(1)
    assert 10 < int(same.sum()) < 54
    torch.testing.assert_close(moved[:, :, 0, 0], torch.ones(64, 3))


def test_what_a_widened_denoiser_has_new_does_nothing_at_first(tmp_path: Path) -> None:
    torch.manual_seed(0)
    old = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), block_out_channels=(8, 16), layers_per_block=1,
        cross_attention_dim=16, attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    old.save_pretrained(tmp_path)
    wide = train_zero123.widen(tmp_path)
    noisy, reference, token = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), torch.randn(1, 1, 16)

    def predict(reference: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return wide(torch.cat([noisy, reference], 1), 5, token, class_labels=label).sample

    with torch.no_grad():
        plain = predict(torch.zeros_like(reference), torch.zeros(1, 16))
        torch.testing.assert_close(predict(reference, token[:, 0]), plain)
    emphasised = wide.down_blocks[0].resnets[0].time_emb_proj
    before = old.down_blocks[0].resnets[0].time_emb_proj
    expected = torch.cat([torch.zeros_like(before.weight), before.weight])
    torch.testing.assert_close(emphasised.weight, expected)  # scales by one, shifts by what was added
    wide.save_pretrained(tmp_path / "wide")
    again = train_zero123.widen(tmp_path / "wide")  # from an image-and-pose prior training goes on
    torch.testing.assert_close(again.state_dict(), wide.state_dict())


def test_a_widened_denoiser_no_longer_pools_text(tmp_path: Path) -> None:
    torch.manual_seed(0)
    text = build_unet(UnetSettings(channels=(16, 32)), 4)
    text.save_pretrained(tmp_path)
    wide = train_zero123.widen(tmp_path)
    assert wide.config["addition_embed_type"] is None
    assert not any("add_embedding" in name for name in wide.state_dict())
    projected = "mid_block.resnets.0.time_emb_proj.weight"
    torch.testing.assert_close(wide.state_dict()[projected], text.state_dict()[projected])


def test_a_pair_has_the_pose_of_its_cameras() -> None:
    """The sign of the azimuth in training is that of `relative_pose`, which guidance and sampling use too."""
    pool = pair_pool.Pool(pair_pool.PoolSettings(size=2, references=1, targets=1), 4, 8)
    pool.camera[:] = torch.tensor([[0.0, 10.0, 3.2], [90.0, 40.0, 3.3]])
    pool.filled = 2
    drawn = pool.draw(5)
    expected = torch.tensor([-np.pi / 6, 1.0, 0.0, 0.1], dtype=torch.float32)
    torch.testing.assert_close(drawn.pose, expected.expand(5, -1), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(relative_pose(pool.camera[:1, 1], pool.camera[:1, 0]), expected[None], atol=1e-5, rtol=0)


def test_a_restart_goes_on_with_the_same_scenes(tmp_path: Path) -> None:
    settings = pair_pool.PoolSettings(size=4, references=1, targets=1)
    pool, again = (pair_pool.Pool(settings, 4, 8) for _ in range(2))
    for part in (pool.latents, pool.embeddings, pool.camera):
        part[:3] = torch.randn(part[:3].shape)
    pool.filled, pool.cursor = 3, 3
    again.restore(tmp_path / "pool.pt")
    assert again.filled == 0  # there is none yet
    pool.save(tmp_path / "pool.pt")
    again.restore(tmp_path / "pool.pt")
    assert (again.filled, again.cursor) == (3, 3)
    for name in ("latents", "embeddings", "camera"):
        torch.testing.assert_close(getattr(again, name), getattr(pool, name))


def test_the_exported_layer_is_what_the_guidance_reads(tmp_path: Path) -> None:
    layer = nn.Linear(12, 8)
    export_zero123._write_projection(tmp_path / "clip_camera_projection", layer)
    read = load_projection(tmp_path, torch.device("cpu"))
    torch.testing.assert_close(read.weight, layer.weight.detach(), atol=1e-3, rtol=1e-3)


def test_the_card_names_known_objects_alone() -> None:
    card = export_zero123.card(("BlendSwap-CC-BY/hamburger",), pairs.HELD_OUT, 7)
    assert card["objects"] == ["hamburger"]
    assert card["pose_convention"] == "zero123" and card["trained_steps"] == 7
    assert not set(pairs.HELD_OUT) & set(card["pieces"])


def test_the_encoder_is_small_and_of_the_tokens_width() -> None:
    encoder = image_encoder.build_encoder()
    assert sum(p.numel() for p in encoder.parameters()) < 1_000_000
    assert encoder.config.projection_dim == image_encoder.WIDTH
    assert encoder(pixel_values=torch.zeros(2, 3, 64, 64)).logits.shape == (2, image_encoder.WIDTH)


def test_the_azimuth_is_read_by_the_head_of_the_piece() -> None:
    heads = image_encoder.Heads(3)
    embedded, piece = torch.randn(2, image_encoder.WIDTH), torch.tensor([2, 0])
    rows = heads.azimuth(embedded)
    expected = torch.stack([rows[0, 4:6], rows[1, 0:2]])
    torch.testing.assert_close(heads.azimuth_of(embedded, piece), expected)


def test_references_are_other_views_and_not_from_high_above() -> None:
    camera = torch.tensor([[0.0, 10.0, 3.0], [10.0, 80.0, 3.0], [20.0, 20.0, 3.0]])
    for _ in range(10):
        chosen = evaluate_zero123.choose_references(camera, random.Random(0))
        assert chosen[0] == 2 and chosen[2] == 0 and chosen[1] in (0, 2)


def test_the_ring_allows_every_turn_that_is_measured() -> None:
    for turn in evaluate_zero123.TURNS_DEG:
        assert turn * unseen_views.RING % 360 == 0
