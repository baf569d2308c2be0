"""Tests of ImageDream: the photo's tokens and view, its background, groups, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from tests.plugins.guidance.model_families import tiny
from tests.plugins.guidance.model_families.test_mvdream import FOUR, TIMESTEP, latents, views

from bozzetto.errors import ConfigError, ModelError
from bozzetto.testing.fakes import a_photo
from bozzetto.testing.guidance import GuidanceContract
from bozzetto.testing.prior import PriorContract
from bozzetto.types import Cameras, Reference, Rendered, ViewCondition
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig
from bozzetto_plugins.guidance.image_dream import ImageDream
from bozzetto_plugins.guidance.image_dream_config import ImageDreamConfig
from bozzetto_plugins.guidance.model_families.joint_views import camera_labels
from bozzetto_plugins.guidance.offload import offload

CPU = torch.device("cpu")
PHOTO = a_photo(size=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.imagedream(tmp_path_factory.mktemp("model") / "imagedream")


def loaded(folder: Path, **values: Any) -> ImageDream:
    return ImageDream(ImageDreamConfig(**{"model": str(folder), "dtype": "float32", **values}), folder, CPU)


def condition_of(guidance: ImageDream, photo: Reference = PHOTO, count: int = 4) -> ViewCondition:
    texts = guidance.encode_text(["a ball", ""])
    return ViewCondition(texts[:1].expand(count, -1, -1), texts[1:].expand(count, -1, -1), references=(photo,))


class OfPhotos:
    """What both contracts need: a folder, and a condition with a photo."""

    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> ImageDream:
        return loaded(self.folder)

    def cameras(self) -> Cameras:
        return views((0.0, 90.0), 2)


class TestGuidance(OfPhotos, GuidanceContract):
    def condition(self, guidance: Any) -> ViewCondition:
        return replace(super().condition(guidance), references=(PHOTO,))

    def conditions(self, guidance: Any) -> tuple[ViewCondition, ViewCondition]:
        return tuple(replace(one, references=(PHOTO,)) for one in super().conditions(guidance))


class TestPrior(OfPhotos, PriorContract):
    def condition(self, source: Any) -> ViewCondition:
        return replace(super().condition(source), references=(PHOTO,))


def test_a_prediction_is_that_of_diffusers_network_with_an_ip_adapter(folder: Path) -> None:
    """Five views a group, the photo's last and without a camera; its tokens by diffusers' own processor."""
    guidance = loaded(folder)
    cameras, condition = views(FOUR, 4), condition_of(guidance)
    said = guidance.prior(condition, cameras, 0).predict(latents(4), TIMESTEP, ["cond", "uncond"])
    shown = guidance.shown(PHOTO, torch.ones(1, 3))
    unet, count = guidance.networks.denoiser, guidance.family.photo_tokens
    text_rows = guidance.family.text.length
    told = torch.cat([camera_labels(cameras.c2w), torch.zeros(1, 16)])
    ours = dict(unet.attn_processors)
    theirs: dict[str, Any] = {}
    for name, processor in ours.items():
        if name.endswith("attn1.processor"):
            theirs[name] = processor
            continue
        layer = unet.get_submodule(name.removesuffix(".processor")).to_k
        theirs[name] = IPAdapterAttnProcessor2_0(layer.out_features, layer.in_features, (count,))
        theirs[name].to_k_ip[0].weight = processor.to_k_ip.weight
        theirs[name].to_v_ip[0].weight = processor.to_v_ip.weight
    unet.set_attn_processor(theirs)
    for branch, text, photo, tokens in (
        ("cond", condition.text, shown.latents[0], shown.tokens),
        ("uncond", condition.uncond, torch.zeros_like(shown.latents[0]), shown.no_tokens),
    ):
        words = (text[:1, :text_rows].expand(5, -1, -1), [tokens[:, None].expand(5, -1, -1, -1).flatten(1, 2)])
        with torch.no_grad():
            expected = unet(
                torch.cat([latents(4), photo]), torch.full((5,), int(TIMESTEP[0])), encoder_hidden_states=words,
                class_labels=told,
            ).sample  # fmt: skip
        torch.testing.assert_close(said[branch], expected[:4], rtol=0.0, atol=5e-6)


def test_the_photo_reaches_the_conditional_prediction_alone(folder: Path) -> None:
    guidance, cameras = loaded(folder), views(FOUR, 4)
    said = [
        guidance.prior(condition_of(guidance, photo), cameras, 0).predict(latents(4), TIMESTEP, ["cond", "uncond"])
        for photo in (PHOTO, a_photo(size=20, seed=1))
    ]
    assert torch.equal(said[0]["uncond"], said[1]["uncond"])
    assert (said[0]["cond"] - said[1]["cond"]).abs().flatten(1).max(dim=1).values.min() > 1e-4, "every view"


def test_no_photo_is_zeros_for_the_resampler_and_texts_have_zeros_in_its_place(folder: Path) -> None:
    guidance = loaded(folder)
    resampler, count = guidance.photo.resampler, guidance.family.photo_tokens
    with torch.no_grad():
        expected = resampler(torch.zeros(1, 5, tiny.IMAGE_PROMPT["embed_dims"]))
    assert torch.equal(guidance.shown(PHOTO, torch.ones(1, 3)).no_tokens, expected) and expected.any()
    text = guidance.encode_text(["a ball"])
    assert not text[:, -count:].any() and text[:, :-count].any()


def test_the_photo_is_composited_on_the_background_of_each_group(folder: Path) -> None:
    guidance, cameras = loaded(folder), views((0.0, 180.0, 0.0, 180.0), 2)
    colours = torch.tensor([[0.2, 0.4, 0.6], [0.9, 0.1, 0.3]])
    opacity = torch.zeros(4, 16, 16, 1)
    opacity[:, 4:9] = 1.0
    image = torch.rand(4, 16, 16, 3) * opacity + (1.0 - opacity) * colours.repeat_interleave(2, dim=0)[:, None, None]
    prior = guidance.prior(condition_of(guidance), cameras, 0)
    white = prior.predict(latents(4), TIMESTEP, ["cond"])["cond"]
    prior.latents(Rendered(image, opacity, opacity), torch.Generator().manual_seed(0))
    said = prior.predict(latents(4), TIMESTEP, ["cond"])["cond"]
    texts = {"cond": condition_of(guidance).text}
    expected = guidance.outputs(latents(4), TIMESTEP, texts, guidance.shown(PHOTO, colours), cameras)["cond"]
    torch.testing.assert_close(said, expected, rtol=0.0, atol=1e-5)
    assert (said - white).abs().max() > 1e-4


def test_groups_are_predicted_as_each_alone(folder: Path) -> None:
    guidance, text = loaded(folder), condition_of(loaded(folder))
    both = guidance.prior(text, views(FOUR, 2), 0).predict(latents(4), TIMESTEP, ["cond"])["cond"]
    for rows in (slice(0, 2), slice(2, 4)):
        half = replace(text, text=text.text[rows], uncond=text.uncond[rows])
        alone = guidance.prior(half, views(FOUR[rows], 2), 0)
        found = alone.predict(latents(4)[rows], TIMESTEP[rows], ["cond"])["cond"]
        torch.testing.assert_close(found, both[rows], rtol=0.0, atol=5e-6)


def test_permuted_views_permute_the_outputs(folder: Path) -> None:
    guidance, order = loaded(folder), [2, 0, 3, 1]
    text = condition_of(guidance)
    usual = guidance.prior(text, views(FOUR, 4), 0).predict(latents(4), TIMESTEP, ["cond"])["cond"]
    turned = guidance.prior(text, views(tuple(FOUR[index] for index in order), 4), 0)
    moved = turned.predict(latents(4)[order], TIMESTEP, ["cond"])["cond"]
    torch.testing.assert_close(moved, usual[order], rtol=0.0, atol=5e-6)


def test_without_a_view_of_the_photo_its_tokens_are_all(tmp_path: Path) -> None:
    guidance = loaded(tiny.imagedream(tmp_path / "local", photo_is_a_view=False))
    text, cameras = condition_of(guidance), views(FOUR, 4)
    prior = guidance.prior(text, cameras, 0)
    rows = text.text.clone()
    rows[:, -guidance.family.photo_tokens :] = guidance.shown(PHOTO, torch.ones(1, 3)).tokens
    expected = guidance.networks.predict(latents(4), TIMESTEP, rows, cameras)
    torch.testing.assert_close(prior.predict(latents(4), TIMESTEP, ["cond"])["cond"], expected, rtol=0.0, atol=5e-6)


@pytest.mark.parametrize("mode", ["model", "sequential"])
def test_offloaded_weights_predict_the_same(folder: Path, mode: Any) -> None:
    usual, away = loaded(folder), loaded(folder)
    leave = offload(away.networks.vae, away.networks.denoiser, CPU, mode)
    condition = condition_of(usual)
    said = [
        one.prior(condition, views(FOUR, 4), 0).predict(latents(4), TIMESTEP, ["cond", "uncond"])
        for one in (usual, away)
    ]
    assert all(torch.equal(said[0][branch], said[1][branch]) for branch in said[0])
    leave()


def test_half_precision_predicts_nearly_the_same_and_passes_gradients(folder: Path) -> None:
    full, half = loaded(folder), loaded(folder, dtype="bfloat16")
    said = [
        one.prior(condition_of(full), views(FOUR, 4), 0).predict(latents(4), TIMESTEP, ["cond"])["cond"]
        for one in (full, half)
    ]
    assert (said[0] - said[1]).norm() < 0.1 * said[0].norm()
    for dtype in ("float32", "float16", "bfloat16"):
        image = torch.rand(2, 3, 16, 16, requires_grad=True)
        encoded = loaded(folder, dtype=dtype).networks.encode(image, None)
        assert encoded.dtype == torch.float32
        encoded.square().sum().backward()
        assert image.grad is not None and image.grad.isfinite().all() and image.grad.any()


def test_texts_latents_and_levels_are_those_of_diffusers(folder: Path) -> None:
    guidance, pipeline = loaded(folder), tiny.stock_pipeline(folder)
    networks, count = guidance.networks, guidance.family.photo_tokens
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    tokens, _ = pipeline.encode_prompt(["a ball", ""], CPU, 1, False)
    torch.testing.assert_close(guidance.encode_text(["a ball", ""])[:, :-count], tokens, rtol=0.0, atol=2e-5)
    with torch.no_grad():
        plain = pipeline.vae.encode(2.0 * image - 1.0).latent_dist.mode()
        decoded = pipeline.image_processor.postprocess(pipeline.vae.decode(plain).sample, output_type="pt")
        encoded = networks.encode(image, None)
    torch.testing.assert_close(encoded, plain * pipeline.vae.config.scaling_factor, rtol=0.0, atol=1e-6)
    torch.testing.assert_close(networks.decode(encoded), decoded, rtol=0.0, atol=1e-5)
    assert torch.equal(networks.level(torch.arange(1000)).alpha_bar, pipeline.scheduler.alphas_cumprod)


def test_what_it_cannot_use_is_refused(folder: Path, tmp_path: Path) -> None:
    guidance = loaded(folder)
    text = condition_of(guidance)
    with pytest.raises(ConfigError, match=r"views of this task have no groups. Set views.views_per_group=4"):
        guidance.prior(text, views(FOUR, 1), 0)
    with pytest.raises(ConfigError, match="is shown one photo, and there are 0"):
        guidance.prior(replace(text, references=()), views(FOUR, 4), 0)
    with pytest.raises(ModelError, match="is ImageDream. Use the guidance image-dream"):
        DiffusionPriorConfig(model=str(folder)).require_weights(folder)
    with pytest.raises(ModelError, match="is MVDream. Use the guidance diffusion-prior"):
        ImageDreamConfig(model="x").require_weights(tiny.mvdream(tmp_path / "mvdream"))
    (tmp_path / "other").mkdir()
    other = tiny.imagedream(tmp_path / "other" / "model")
    (other / "image_prompt" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no image_prompt with .safetensors weights. Convert the published"):
        loaded(other)
