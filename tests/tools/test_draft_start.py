"""The draft is taught what captions look like on average."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

import data
import draft_start
import latent_pool
import samples
import train_zero123
import warm_start
from bozzetto_plugins.guidance.draft_unet import DraftUNet
from captions import VIEWS
from objects import THINGS
from text import build_text_encoder, tokens_of, write_tokenizer
from train_unet import Denoising, UnetSettings, build_scheduler, build_unet
from training import Schedule

CAPTIONS = ["a chair, front view", "a chair, back view", "a red car", ""]
TINY = replace(draft_start.DraftSettings(), steps=60, things=2, views=2, others=2, schedule=Schedule(3e-3, 3e-3, 1))


@pytest.fixture
def tokenizer(tmp_path: Path) -> CLIPTokenizer:
    return write_tokenizer(tmp_path)


@pytest.fixture
def encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    torch.manual_seed(1)
    return build_text_encoder(tokenizer).eval()


@pytest.fixture
def unet() -> DraftUNet:
    torch.manual_seed(0)
    return build_unet(UnetSettings(channels=(16, 32)), 4)


def test_a_draft_learns_means_their_differences_and_other_pictures(unet: DraftUNet) -> None:
    told, other = torch.randn(5, 64), torch.randn(1, 64)
    means = [torch.full((4, 16, 16), value) for value in (0.0, 1.0, 2.0, -1.0)]
    pictures = draft_start.Pictures(
        torch.full((1, 4, 16, 16), 0.5).half(), other, [torch.stack(means[:2]), torch.stack(means[2:])],
        [told[:2], told[2:4]],
    )  # fmt: skip
    before = {name: weight.clone() for name, weight in unet.named_parameters()}
    assert draft_start.paints_nothing(unet)
    errors = torch.tensor(draft_start.teach_draft(unet, pictures, TINY))
    assert not draft_start.paints_nothing(unet)
    assert (errors[-5:].mean(0) < 0.05 * errors[:5].mean(0)).all()
    painted = unet.draft(torch.cat([told[:4], other])).mean(1)
    torch.testing.assert_close(painted, torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5]), atol=0.15, rtol=0)
    changed = {name for name, weight in unet.named_parameters() if not torch.equal(before[name], weight)}
    assert changed == {name for name in before if name.startswith("draft.")}


def test_contrast_passes_over_what_a_things_views_have_in_common() -> None:
    common, own = torch.randn(3, 1, 7), torch.randn(3, 2, 7)
    torch.testing.assert_close(draft_start.contrast(common.expand(3, 2, 7).flatten(0, 1), 2), torch.zeros(()))
    differ = draft_start.contrast((common + own).flatten(0, 1), 2)
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
    assert draft_start.words_of(azimuth_deg, elevation_deg) == words


@torch.no_grad()
def test_the_mix_is_the_best_at_each_noise_level(unet: DraftUNet) -> None:
    """Latents that are three times their draft: in nothing but noise the velocity is minus that."""
    torch.nn.init.normal_(unet.draft[-1].weight, std=0.3)
    torch.nn.init.ones_(unet.draft_text.norm2.weight)
    text, abar = torch.randn(8, 5, 128), build_scheduler().alphas_cumprod
    latents = 3 * unet.paint(text)
    draft_start.fit_mix(unet, text, latents, abar)
    torch.testing.assert_close(unet.mix(torch.tensor([999]))[1, 0], torch.tensor(-3.0), atol=0.1, rtol=0)
    assert unet.mix(torch.tensor([0]))[1].abs() < 0.2, "without noise, nothing of the draft is in the velocity"
    torch.testing.assert_close(unet.mix(torch.tensor([999.0 / 40])), unet.draft_mix[:, 1:2])


def test_pictures_on_colours_are_not_trained_where_noise_hides_them(
    unet: DraftUNet, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> None:
    seen = []
    unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    steps = Denoising(unet, encoder, tokenizer, build_scheduler().alphas_cumprod, UnetSettings(channels=(16, 32)))
    torch.manual_seed(0)
    white = torch.arange(32) % 2 == 0
    steps.loss(torch.randn(32, 4, 16, 16), CAPTIONS * 8, white)
    assert seen[0][white].max() == 999
    assert 500 < seen[0][~white].max() < 800


def test_a_pool_knows_which_backgrounds_are_white() -> None:
    pool = latent_pool.Pool.empty(6, 4)
    pool.add(torch.ones(4, 4, 16, 16), ["a"] * 4, True)
    pool.add(torch.zeros(4, 4, 16, 16), ["b"] * 4, False)  # two of them in place of the oldest
    latents, captions, white = pool.draw(64)
    assert {*zip(captions, white.tolist(), strict=True)} == {("a", True), ("b", False)}
    assert torch.equal(latents[:, 0, 0, 0] == 1.0, white)


def test_each_caption_is_told_what_it_is_alone_in_order(
    unet: DraftUNet, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> None:
    torch.nn.init.ones_(unet.draft_text.norm2.weight)
    twice = draft_start.pooled_of(unet, encoder, tokenizer, [*CAPTIONS, CAPTIONS[1]])
    torch.testing.assert_close(twice[1], twice[4])
    alone = draft_start.pooled_of(unet, encoder, tokenizer, CAPTIONS[2:3])
    torch.testing.assert_close(twice[2:3], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(twice[0], twice[1])


def every_thing_from(azimuths_deg: list[float]) -> data.Views:
    """White pictures of each thing from some sides, whose red grows with the azimuth."""
    sides = len(azimuths_deg)
    azimuth = torch.tensor(azimuths_deg * len(THINGS))
    albedo = torch.full((len(azimuth), 3, 64, 64), 255, dtype=torch.uint8)
    albedo[:, 0] = (azimuth / 360 * 255 + 128).byte()[:, None, None]
    camera = torch.stack([azimuth, torch.zeros_like(azimuth), torch.full_like(azimuth, 3.2)], 1)
    flat = torch.full((len(azimuth), 3, 64, 64), 128, dtype=torch.uint8)
    return data.Views(
        albedo, flat, torch.full((len(azimuth), 1, 64, 64), 255, dtype=torch.uint8), camera, camera,
        torch.ones(len(azimuth)), torch.arange(len(THINGS)).repeat_interleave(sides), torch.ones(len(azimuth)),
    )  # fmt: skip


@torch.no_grad()
def test_mean_pictures_are_those_of_the_views_a_word_names(tiny_vae: AutoencoderKL) -> None:
    views = every_thing_from([0.0, 90.0, -90.0, 180.0])
    torch.manual_seed(0)
    means = draft_start.mean_pictures(tiny_vae, views, 3, 32)
    assert set(means) == {None, "front", "side", "left side", "right side", "back"}
    torch.manual_seed(0)
    rows = 3 * 4 + torch.randint(0, 4, (32,))
    images, _ = data.compose(views, rows, [None] * 32, draft_start.WHITE)
    latents = tiny_vae.encode(images).latent_dist.mean * 2.0
    torch.testing.assert_close(means[None], latents.mean(0), rtol=0, atol=2e-3)
    torch.testing.assert_close(means["back"], latents[rows == 15].mean(0), rtol=0, atol=2e-3)
    torch.testing.assert_close(means["side"], latents[(rows == 13) | (rows == 14)].mean(0), rtol=0, atol=2e-3)


def test_a_lesson_has_pictures_and_the_means_of_everything(
    unet: DraftUNet, encoder: CLIPTextModel, tokenizer: CLIPTokenizer, tiny_vae: AutoencoderKL
) -> None:
    torch.nn.init.ones_(unet.draft_text.norm2.weight)
    settings = replace(draft_start.DraftSettings(), pictures=64, each=8)
    views = every_thing_from([0.0, 90.0, -90.0, 180.0])
    lesson = draft_start.draw_lesson(tiny_vae, views, unet, encoder, tokenizer, settings, random.Random(0))
    assert lesson.latents.shape == (64, 4, 16, 16) and lesson.told.shape == (64, 64)
    assert len(lesson.means) == len(lesson.means_told) == len(THINGS)
    for means, told in zip(lesson.means, lesson.means_told, strict=True):
        assert len(means) == len(told)
    name = THINGS[5].name
    expected = draft_start.pooled_of(
        unet, encoder, tokenizer, [f"a {name}, {view} view" for view in VIEWS] + [f"a {name}"]
    )
    distance = torch.cdist(lesson.means_told[5], expected).min(1).values
    torch.testing.assert_close(distance, torch.zeros_like(distance), rtol=0, atol=1e-3)


def test_a_training_step_leaves_what_was_taught_and_remembers_captions(
    unet: DraftUNet, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> None:
    for taught in (unet.add_embedding, unet.draft_text, unet.draft):
        taught.requires_grad_(False)
    steps = Denoising(unet, encoder, tokenizer, build_scheduler().alphas_cumprod, UnetSettings(channels=(16, 32)))
    loss = steps.loss(torch.randn(8, 4, 16, 16), CAPTIONS * 2, torch.arange(8) < 4)
    loss.backward()
    assert loss.isfinite()
    assert unet.conv_in.weight.grad[:, :4].abs().sum() > 0
    assert unet.draft[0].weight.grad is None
    assert set(steps.told) == set(CAPTIONS)
    again = steps.embed(CAPTIONS[::-1])
    fresh = encoder(tokens_of(tokenizer, CAPTIONS[::-1])).last_hidden_state
    torch.testing.assert_close(again, fresh, rtol=0, atol=0.02)


@torch.no_grad()
def test_a_denoiser_without_a_draft_goes_on_as_it_was(unet: DraftUNet) -> None:
    own = unet.state_dict()
    before = {name: value for name, value in own.items() if not name.startswith("draft")}
    before["conv_in.weight"] = torch.randn_like(own["conv_in.weight"][:, :4])
    warm_start.warm_start(unet, warm_start.widened(before, own))
    torch.testing.assert_close(unet.conv_in.weight[:, :4], before["conv_in.weight"])
    assert not unet.conv_in.weight[:, 4:].any()
    again = warm_start.widened(unet.state_dict(), own)
    torch.testing.assert_close(again["conv_in.weight"], unet.conv_in.weight)


@torch.no_grad()
def test_the_photo_prior_starts_without_the_draft(unet: DraftUNet, tmp_path: Path) -> None:
    unet.save_pretrained(tmp_path)
    wide = train_zero123.widen(tmp_path)
    torch.testing.assert_close(wide.conv_in.weight[:, :4], unet.conv_in.weight[:, :4])
    assert not wide.conv_in.weight[:, 4:].any()
    assert not any(name.startswith("draft") for name in wide.state_dict())


def test_diffusers_pipeline_samples_an_exported_prior(
    unet: DraftUNet, encoder: CLIPTextModel, tokenizer: CLIPTokenizer, tiny_vae: AutoencoderKL, tmp_path: Path
) -> None:
    from export import export_prior

    export_prior(tmp_path / "prior", tiny_vae, unet, encoder, tokenizer, build_scheduler(), 7)
    assert json.loads((tmp_path / "prior" / "unet" / "config.json").read_text())["_class_name"] == "DraftUNet"
    pipeline = samples.load_pipeline(tmp_path / "prior")
    assert isinstance(pipeline.unet, DraftUNet)
    grid = samples.sample_grid(pipeline, ("a chair",), steps=1, scale=3.0, seed=0)
    assert grid.size == (64 * len(VIEWS), 64)
