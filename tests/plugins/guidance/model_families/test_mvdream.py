"""Tests of MVDream: attention across the views of a group, the camera, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from tests.plugins.guidance.model_families import tiny

from bozzetto.config.loading import load_recipe
from bozzetto.errors import ConfigError, ModelError
from bozzetto.math.levels import add_noise_at
from bozzetto.registry.discovery import Registry
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.guidance import GuidanceContract
from bozzetto.types import Cameras, ViewCondition
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig
from bozzetto_plugins.guidance.model_families.joint_views import camera_labels
from bozzetto_plugins.guidance.offload import offload

CPU = torch.device("cpu")
CONFIGS = Path(__file__).parents[4] / "configs"
FOUR = (0.0, 90.0, 180.0, -90.0)
TIMESTEP = torch.tensor([400] * 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.mvdream(tmp_path / "mvdream")


def loaded(folder: Path, dtype: Any = "float32") -> DiffusionPrior:
    return DiffusionPrior(DiffusionPriorConfig(model=str(folder), dtype=dtype), folder, CPU)


def views(azimuth_deg: tuple[float, ...], views_per_group: int) -> Cameras:
    return replace(cameras_around(azimuth_deg, size=16), views_per_group=views_per_group)


def latents(count: int) -> torch.Tensor:
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(1))


class TestContract(GuidanceContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> DiffusionPrior:
        return loaded(self.folder)

    def cameras(self) -> Cameras:
        return views((0.0, 90.0), 2)


def test_one_view_is_the_stock_network_exactly(folder: Path) -> None:
    prior, stock = loaded(folder), UNet2DConditionModel.from_pretrained(folder / "unet")
    text, cameras = prior.encode_text(["a ball", "an anvil"]), views((0.0, 70.0), 1)
    said = prior.networks.predict(latents(2), TIMESTEP[:2], text, cameras)
    network = prior.networks.denoiser
    network.set_attn_processor(stock.attn_processors)  # of the same weights in memory: copies differ in the last bits
    with torch.no_grad():
        expected = network(latents(2), TIMESTEP[:2], text, class_labels=camera_labels(cameras.c2w)).sample
        copied = stock(latents(2), TIMESTEP[:2], text, class_labels=camera_labels(cameras.c2w)).sample
    assert torch.equal(said, expected)
    torch.testing.assert_close(said, copied, rtol=0.0, atol=5e-6)


def test_permuted_views_permute_the_outputs(folder: Path) -> None:
    prior, order = loaded(folder), [2, 0, 3, 1]
    text = prior.encode_text(["a ball"]).expand(4, -1, -1)
    usual = prior.networks.predict(latents(4), TIMESTEP, text, views(FOUR, 4))
    turned = views(tuple(FOUR[index] for index in order), 4)
    moved = prior.networks.predict(latents(4)[order], TIMESTEP, text, turned)
    torch.testing.assert_close(moved, usual[order], rtol=0.0, atol=5e-6)


def test_views_see_those_of_their_group_and_no_others(folder: Path) -> None:
    prior = loaded(folder)
    text = prior.encode_text(["a ball"]).expand(4, -1, -1)
    usual = prior.networks.predict(latents(4), TIMESTEP, text, views(FOUR, 2))
    other = latents(4)
    other[3] += 1.0
    changed = prior.networks.predict(other, TIMESTEP, text, views(FOUR, 2))
    assert torch.equal(changed[:2], usual[:2]), "another group"
    assert (changed[2] - usual[2]).abs().max() > 1e-4, "the same group"
    alone = prior.networks.predict(other, TIMESTEP, text, views(FOUR, 1))
    assert torch.equal(alone[2], prior.networks.predict(latents(4), TIMESTEP, text, views(FOUR, 1))[2])
    apart = [
        prior.networks.predict(other[rows], TIMESTEP[rows], text[rows], views(FOUR[rows], 2))
        for rows in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(torch.cat(apart), changed, rtol=0.0, atol=5e-6)


def test_branches_are_predicted_in_whole_groups_with_the_same_cameras(folder: Path) -> None:
    prior, cameras = loaded(folder), views(FOUR, 4)
    texts = prior.encode_text(["a ball", ""])
    condition = ViewCondition(texts[:1].expand(4, -1, -1), texts[1:].expand(4, -1, -1))
    said = prior.prior(condition, cameras, 0).predict(latents(4), TIMESTEP, ["cond", "uncond"])
    for branch, text in (("cond", condition.text), ("uncond", condition.uncond)):
        alone = prior.networks.predict(latents(4), TIMESTEP, text, cameras)
        torch.testing.assert_close(said[branch], alone, rtol=0.0, atol=5e-6)


@pytest.mark.parametrize("mode", ["model", "sequential"])
def test_offloaded_weights_predict_groups_the_same(folder: Path, mode: Any) -> None:
    usual, away = loaded(folder), loaded(folder)
    leave = offload(away.networks.vae, away.networks.denoiser, CPU, mode)
    text = usual.encode_text(["a ball"]).expand(4, -1, -1)
    said = [one.networks.predict(latents(4), TIMESTEP, text, views(FOUR, 4)) for one in (usual, away)]
    assert torch.equal(*said)
    leave()


def test_half_precision_predicts_groups_nearly_the_same(folder: Path) -> None:
    full, half = loaded(folder), loaded(folder, dtype="bfloat16")
    text = full.encode_text(["a ball"]).expand(4, -1, -1)
    said = [one.networks.predict(latents(4), TIMESTEP, text, views(FOUR, 4)) for one in (full, half)]
    assert said[1].dtype == torch.float32
    assert (said[0] - said[1]).norm() < 0.1 * said[0].norm()


def test_levels_are_those_of_diffusers_sampler(folder: Path) -> None:
    level, every = loaded(folder).networks.level, torch.arange(1000)
    sampler = DDIMScheduler.from_pretrained(folder / "scheduler", clip_sample=False)
    assert torch.equal(level(every).alpha_bar, sampler.alphas_cumprod)
    clean, noise = latents(4), torch.randn(4, 4, 8, 8)
    for timestep in (TIMESTEP, torch.tensor([20, 300, 700, 980])):
        expected = sampler.add_noise(clean, noise, timestep)
        torch.testing.assert_close(add_noise_at(clean, noise, level(timestep)), expected, rtol=0.0, atol=1e-6)
    # The published betas are those of Stable Diffusion 2.1: from 0.00085 to 0.012, linear in their roots.
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    expected = (1.0 - (1.0 - betas).cumprod(0)).sqrt().float()
    torch.testing.assert_close(level(every).noise, expected, rtol=0.0, atol=1e-5)


def test_latents_are_encoded_and_decoded_as_by_diffusers(folder: Path) -> None:
    networks, pipeline = loaded(folder).networks, tiny.stock_pipeline(folder)
    image = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = pipeline.vae.encode(2.0 * image - 1.0).latent_dist
        decoded = pipeline.image_processor.postprocess(pipeline.vae.decode(plain.mode()).sample, output_type="pt")
        noise = torch.randn(4, 4, 8, 8)
        mode, drawn = networks.encode(image, None), networks.encode(image, noise)
    scale = pipeline.vae.config.scaling_factor
    torch.testing.assert_close(mode, scale * plain.mode(), rtol=0.0, atol=1e-6)
    torch.testing.assert_close(drawn, scale * (plain.mean + plain.std * noise), rtol=0.0, atol=1e-6)
    torch.testing.assert_close(networks.decode(mode), decoded, rtol=0.0, atol=1e-5)


def test_the_camera_is_told_at_distance_one() -> None:
    cameras = cameras_around([30.0], 20.0, distance=2.7)
    told = camera_labels(cameras.c2w).view(4, 4)
    assert told[:3, 3].norm().item() == pytest.approx(1.0, abs=1e-6)
    assert torch.equal(told[:3, :3], cameras.c2w[0, :3, :3])
    torch.testing.assert_close(told[:3, 3] * 2.7, cameras.c2w[0, :3, 3])
    assert torch.equal(told[3], torch.tensor([0.0, 0.0, 0.0, 1.0]))


def test_single_views_are_refused(folder: Path) -> None:
    prior = loaded(folder)
    text = prior.encode_text(["a ball"]).expand(2, -1, -1)
    with pytest.raises(
        ConfigError, match="jointly, and the views of this task have no groups. Set views.views_per_group=4"
    ):
        prior.prior(ViewCondition(text, text), views((0.0, 90.0), 1), 0)


def test_another_guidance_and_another_network_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="is MVDream, for the guidance diffusion-prior"):
        StableDiffusionConfig(model=str(folder)).require_weights(folder)
    settings = folder / "unet" / "config.json"
    usual = settings.read_text(encoding="utf-8")
    settings.write_text(json.dumps({"_class_name": "MultiViewUNetModel"}), encoding="utf-8")  # of others' conversions
    with pytest.raises(ModelError, match="'MultiViewUNetModel', not UNet2DConditionModel. Convert the published file"):
        DiffusionPriorConfig(model=str(folder)).require_weights(folder)
    settings.write_text(usual, encoding="utf-8")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    values = {**tiny.MVDREAM_UNET, "class_embed_type": None, "projection_class_embeddings_input_dim": None}
    UNet2DConditionModel(**values).save_pretrained(folder / "unet")
    with pytest.raises(ModelError, match="Convert the published weights with tools/convert_mvdream.py"):
        loaded(folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "MVDreamPipelin"}), encoding="utf-8")
    with pytest.raises(ModelError, match="The nearest is MVDreamPipeline"):
        loaded(folder)


def test_views_without_groups_are_refused_when_the_recipe_is_read(registry: Registry, folder: Path) -> None:
    model = f"system.tasks.random.guidance.model={folder}"
    recipe = load_recipe(CONFIGS / "mvdream.yaml", registry, [model], "cpu")
    assert recipe.stages[0].tasks[0].views.config.views_per_group == 4
    with pytest.raises(
        ConfigError, match=r"model: MVDream predicts the views .* system.tasks.random.views.views_per_group=4"
    ):
        load_recipe(CONFIGS / "dreamfusion-sdxl.yaml", registry, [model], "cpu")
