"""The text encoder that paints the mean picture of a caption, and the attention that finds its patches."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

import attention_places
import text_picture
from text import GRID, MAX_TOKENS, build_text_encoder, tokens_of, write_tokenizer
from train_unet import Denoising, UnetSettings, build_scheduler, build_unet
from training import Schedule

CAPTIONS = ["a chair, front view", "a chair, back view", "a red car", ""]


@pytest.fixture
def tokenizer(tmp_path: Path) -> CLIPTokenizer:
    return write_tokenizer(tmp_path)


@pytest.fixture
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return build_unet(UnetSettings(channels=(16, 32)), 4)


@pytest.fixture
def encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """One whose tokens tell their place from the start, which takes it hundreds of steps to learn."""
    torch.manual_seed(1)
    encoder = build_text_encoder(tokenizer)
    position = next(weight for name, weight in encoder.named_parameters() if "position_embedding" in name)
    torch.nn.init.normal_(position)
    return encoder


def test_patches_go_row_by_row_and_keep_every_value() -> None:
    row, column = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    latents = torch.stack([row, column, 100 * row + column]).float()[None]
    split = text_picture.patches(latents)
    assert split.shape == (1, GRID * GRID, 3 * 4)
    assert split[0, 9].tolist() == [2, 2, 3, 3, 2, 3, 2, 3, 202, 203, 302, 303], "second row, second column"
    torch.testing.assert_close(split.sort().values.sum(), latents.sum())


def test_the_last_tokens_come_after_every_caption_of_the_training(tokenizer: CLIPTokenizer) -> None:
    words = tokens_of(tokenizer, ["a purple christmas tree, right side view"])[0]
    assert len(words) == MAX_TOKENS
    assert (words[-GRID * GRID :] == tokenizer.eos_token_id).all()


def a_lesson(unet: UNet2DConditionModel, encoder: CLIPTextModel, tokenizer: CLIPTokenizer) -> text_picture.Pictures:
    """Two things that look different from the front and the back, and some captions."""
    pooled = text_picture.pooled_now(unet, encoder, tokenizer, CAPTIONS)
    means = {
        name: {view: torch.full((4, 16, 16), side + sign) for view, sign in (("front", 0.5), ("back", -0.5))}
        for name, side in (("chair", 1.0), ("car", -1.0))
    }
    return text_picture.Pictures(torch.ones(len(CAPTIONS), 4, 16, 16).half(), CAPTIONS, pooled, means)


TINY = replace(
    text_picture.PictureSettings(), steps=40, things=2, views=2, others=2, schedule=Schedule(1e-3, 1e-3, 1), place=0.1
)


def test_the_text_encoder_learns_to_paint_and_the_pooled_text_stays(
    unet: UNet2DConditionModel, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> None:
    torch.nn.init.ones_(unet.add_embedding.norm2.weight)
    pictures = a_lesson(unet, encoder, tokenizer)
    painted, views, places, pooled = torch.tensor(
        text_picture.teach_picture(unet, encoder, tokenizer, pictures, TINY)
    ).T
    for errors in (painted, views, places):
        assert errors[-5:].mean() < 0.7 * errors[:5].mean()
    assert pooled[-5:].mean() < 0.5, "of its variance"


def test_a_step_asks_for_views_of_things_and_for_other_pictures(
    unet: UNet2DConditionModel, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> None:
    pictures = a_lesson(unet, encoder, tokenizer)
    step = text_picture.draw_step(pictures, TINY, random.Random(0))
    assert len(step.captions) == len(step.latents) == 6
    assert {*step.captions[: step.means]} == {f"a {n}, {v} view" for n in ("chair", "car") for v in ("front", "back")}
    for text, latent in zip(step.captions[:4], step.latents[:4], strict=True):
        name, view = text[2:].split(" view")[0].split(", ")
        assert torch.equal(latent, pictures.means[name][view])
    assert [pictures.captions[int(row)] for row in step.rows] == step.captions[4:]


def test_contrast_passes_over_what_a_things_views_have_in_common() -> None:
    common, own = torch.randn(3, 1, 5, 7), torch.randn(3, 2, 5, 7)
    torch.testing.assert_close(text_picture.contrast(common.expand(3, 2, 5, 7).flatten(0, 1), 2), torch.zeros(()))
    differ = text_picture.contrast((common + own).flatten(0, 1), 2)
    torch.testing.assert_close(differ, (own[:, 0] - own[:, 1]).pow(2).mean() / 2, msg="the variance of two values")


@pytest.mark.parametrize(
    ("azimuth_deg", "elevation_deg", "words"),
    [
        (0.0, 0.0, (None, "front")),
        (90.0, 10.0, (None, "side", "left side")),
        (-90.0, 10.0, (None, "side", "right side")),
        (180.0, 0.0, (None, "back")),
        (30.0, 80.0, (None, "overhead")),
        (45.0, 0.0, (None,)),
        (0.0, 62.0, (None,)),
    ],
)
def test_words_of_a_view(azimuth_deg: float, elevation_deg: float, words: tuple[str | None, ...]) -> None:
    assert text_picture.words_of(azimuth_deg, elevation_deg) == words


def test_what_pooled_text_said_is_kept_for_each_caption_in_order(
    unet: UNet2DConditionModel, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> None:
    torch.nn.init.ones_(unet.add_embedding.norm2.weight)
    twice = text_picture.pooled_now(unet, encoder, tokenizer, [*CAPTIONS, CAPTIONS[1]])
    torch.testing.assert_close(twice[1], twice[4])
    alone = text_picture.pooled_now(unet, encoder, tokenizer, CAPTIONS[2:3])
    torch.testing.assert_close(twice[2:3], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(twice[0], twice[1])


def test_attention_learns_to_look_at_its_own_place_and_nothing_else_changes(
    unet: UNet2DConditionModel, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> None:
    scene = attention_places.Scene(
        torch.randn(len(CAPTIONS), 4, 16, 16), CAPTIONS, encoder, tokenizer, build_scheduler().alphas_cumprod
    )
    before = {name: weight.clone() for name, weight in unet.named_parameters()}
    settings = replace(attention_places.PlaceSettings(), steps=60, batch=4, rate=1e-2)
    errors = attention_places.teach_places(unet, scene, settings)
    assert sum(errors[-5:]) < 0.9 * sum(errors[:5])
    changed = {name for name, weight in unet.named_parameters() if not torch.equal(before[name], weight)}
    assert changed
    assert all(name.endswith(("attn2.to_q.weight", "attn2.to_k.weight")) for name in changed)


def test_place_error_is_that_of_a_look_at_the_own_patch(unet: UNet2DConditionModel) -> None:
    layer = attention_places.cross_attentions(unet)[0]
    features = torch.zeros(1, GRID * GRID, 32)
    text = torch.randn(1, MAX_TOKENS, 128)
    even = attention_places.place_error(layer, features, text, heads=1)
    torch.testing.assert_close(even, torch.tensor(float(MAX_TOKENS)).log())


def test_forgotten_values_leave_only_the_bias(unet: UNet2DConditionModel) -> None:
    attention_places.forget_values(unet)
    layer = attention_places.cross_attentions(unet)[0]
    features, text = torch.randn(1, GRID * GRID, 32), torch.randn(1, MAX_TOKENS, 128)
    added = layer(features, encoder_hidden_states=text)
    torch.testing.assert_close(added, layer.to_out[0].bias.expand_as(added))


def test_a_training_step_looks_after_places_and_remembers_captions(
    unet: UNet2DConditionModel, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> None:
    looks, settings = attention_places.Looks(unet, 2), UnetSettings(channels=(16, 32))
    steps = Denoising(unet, encoder, tokenizer, build_scheduler().alphas_cumprod, settings, looks)
    loss = steps.loss(torch.randn(8, 4, 16, 16), CAPTIONS * 2)
    loss.backward()
    assert loss.isfinite()
    assert set(steps.told) == set(CAPTIONS)
    again = steps.embed(CAPTIONS[::-1])
    fresh = encoder(tokens_of(tokenizer, CAPTIONS[::-1])).last_hidden_state
    torch.testing.assert_close(again, fresh, rtol=0, atol=0.02)
    assert not looks.seen, "nothing is kept that a copy of the network would have to carry"
    for layer in looks.layers:
        assert layer.to_q.weight.grad.abs().sum() > 0
    copy.deepcopy(unet)


def test_the_last_timestep_is_nothing_but_noise() -> None:
    alphas_cumprod = build_scheduler().alphas_cumprod
    assert alphas_cumprod[-1] == 0
    assert (alphas_cumprod.diff() < 0).all()
    assert DDIMScheduler.from_config(build_scheduler().config).alphas_cumprod[-1] == 0
