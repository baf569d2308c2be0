"""Tests of SDXL: text, prediction, latents and levels are those of diffusers' pipeline, on tiny random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from tests.plugins.guidance.model_families import tiny

from bozzetto.errors import ModelError
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.guidance import GuidanceContract
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig

CPU = torch.device("cpu")
TEXTS = ["a ball, front view", "an anvil", ""]
PARAMETERS = 2_567_463_684
"""Of SDXL's UNet; the sum over the tensors of `sd_xl_base_1.0.safetensors` below `model.diffusion_model`."""


def loaded(folder: Path, dtype: str = "float32", **values: Any) -> DiffusionPrior:
    return DiffusionPrior(DiffusionPriorConfig(model=str(folder), dtype=dtype, **values), folder, CPU)


@pytest.fixture
def pipeline(tmp_path: Path) -> Any:
    return tiny.sdxl(tmp_path)


@pytest.fixture
def folder(pipeline: Any, tmp_path: Path) -> Path:
    return tiny.saved(pipeline, tmp_path / "sdxl")


class TestContract(GuidanceContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> DiffusionPrior:
        return loaded(self.folder)


def test_text_is_that_of_the_pipeline(pipeline: Any, folder: Path) -> None:
    prior = loaded(folder)
    words = prior.networks.family.layout.unpack(prior.encode_text(TEXTS))
    tokens, _, pooled, _ = pipeline.encode_prompt(TEXTS[:2], device=CPU, do_classifier_free_guidance=False)
    torch.testing.assert_close(words.tokens[:2], tokens, rtol=0.0, atol=5e-6)
    torch.testing.assert_close(words.pooled[:2], pooled, rtol=0.0, atol=5e-6)


def test_the_empty_text_is_what_the_model_was_trained_with(tmp_path: Path) -> None:
    zeros = tiny.saved(tiny.sdxl(tmp_path, force_zeros_for_empty_prompt=True), tmp_path / "zeros")
    assert not loaded(zeros).encode_text([""]).any()
    pipeline = tiny.sdxl(tmp_path, force_zeros_for_empty_prompt=False)
    prior = loaded(tiny.saved(pipeline, tmp_path / "encoded"))
    _, negative, _, negative_pooled = pipeline.encode_prompt("a ball", device=CPU)
    words = prior.networks.family.layout.unpack(prior.encode_text([""]))
    torch.testing.assert_close(words.tokens, negative, rtol=0.0, atol=5e-6)
    torch.testing.assert_close(words.pooled, negative_pooled, rtol=0.0, atol=5e-6)


def test_prediction_is_that_of_the_network_with_its_sizes(pipeline: Any, folder: Path) -> None:
    prior = loaded(folder)
    noisy, timestep = torch.randn(2, 4, 8, 8), torch.tensor([10, 900])
    tokens, _, pooled, _ = pipeline.encode_prompt(TEXTS[:2], device=CPU, do_classifier_free_guidance=False)
    sizes = pipeline._get_add_time_ids((16, 16), (0, 0), (16, 16), torch.float32, 20).expand(2, -1)
    added = {"text_embeds": pooled, "time_ids": sizes}
    with torch.no_grad():
        expected = pipeline.unet(noisy, timestep, tokens, added_cond_kwargs=added).sample
    text = prior.encode_text(TEXTS[:2])
    said = prior.networks.predict(noisy, timestep, text, cameras_around([0.0, 90.0]))
    torch.testing.assert_close(said, expected, rtol=0.0, atol=5e-6)
    alone = [
        prior.networks.predict(noisy[i : i + 1], timestep[i : i + 1], text[i : i + 1], cameras_around([0.0]))
        for i in range(2)
    ]
    torch.testing.assert_close(torch.cat(alone), said, rtol=0.0, atol=1e-5)
    other = text.clone()
    other[:, -1] += 1.0  # the pooled vector
    assert not torch.equal(prior.networks.predict(noisy, timestep, other, cameras_around([0.0, 90.0])), said)
    larger = loaded(folder, image_size=32)
    at_32 = larger.networks.predict(noisy, timestep, text, cameras_around([0.0, 90.0]))
    assert not torch.equal(at_32, said), "the network is told the size of the image"


def test_latents_and_levels_are_those_of_the_pipeline(pipeline: Any, folder: Path) -> None:
    networks = loaded(folder).networks
    image = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        expected = pipeline.vae.encode(2.0 * image - 1.0).latent_dist.mode() * 0.13025
        decoded = pipeline.vae.decode(expected / 0.13025).sample * 0.5 + 0.5
        latents = networks.encode(image, None)
    torch.testing.assert_close(latents, expected, rtol=0.0, atol=1e-6)
    torch.testing.assert_close(networks.decode(latents), decoded.clamp(0.0, 1.0), rtol=0.0, atol=1e-5)
    timestep = torch.arange(0, 1000, 37)
    assert torch.equal(networks.level(timestep).alpha_bar, pipeline.scheduler.alphas_cumprod[timestep])
    assert networks.latent_size == (8, 8) and networks.image_size == (16, 16)


def test_float16_keeps_the_image_encoder_in_float32(folder: Path) -> None:
    networks = loaded(folder, "float16").networks
    assert networks.denoiser.dtype == torch.float16
    assert networks.vae.dtype == torch.float32, "SDXL's activations overflow in float16 (force_upcast)"
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    networks.encode(image, None).sum().backward()
    assert image.grad is not None and image.grad.isfinite().all() and image.grad.any()
    assert loaded(folder, "bfloat16").networks.vae.dtype == torch.bfloat16


def test_an_inpainting_model_is_refused(folder: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    values = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    UNet2DConditionModel(**{**values, "in_channels": 9}).save_pretrained(folder / "unet")
    with pytest.raises(ModelError, match="inpainting and distilled models cannot guide"):
        loaded(folder)


def test_the_published_network_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=128, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(320, 640, 1280), cross_attention_dim=2048, attention_head_dim=(5, 10, 20),
            transformer_layers_per_block=(1, 2, 10), addition_embed_type="text_time", addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816, use_linear_projection=True,
        )  # fmt: skip
    assert sum(parameter.numel() for parameter in unet.parameters()) == PARAMETERS
