"""Tests of MVDream: attention across the views of a group, the camera, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from tests.plugins.guidance.model_families import tiny

from bozzetto.config.loading import load_recipe
from bozzetto.errors import ConfigError, ModelError
from bozzetto.registry.discovery import Registry
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.guidance import GuidanceContract
from bozzetto.types import Cameras, ViewCondition
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig
from bozzetto_plugins.guidance.model_families.joint_views import camera_labels

CPU = torch.device("cpu")
CONFIGS = Path(__file__).parents[4] / "configs"
FOUR = (0.0, 90.0, 180.0, -90.0)
TIMESTEP = torch.tensor([400] * 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.mvdream(tmp_path / "mvdream")


def loaded(folder: Path) -> DiffusionPrior:
    return DiffusionPrior(DiffusionPriorConfig(model=str(folder), dtype="float32"), folder, CPU)


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
