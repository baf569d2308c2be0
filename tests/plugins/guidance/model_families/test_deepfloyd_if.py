"""Tests of DeepFloyd IF: pixels without an encoder, a variance that is dropped, lower-cased prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from tests.plugins.guidance.model_families import tiny
from tests.plugins.guidance.model_families.test_networks import CPU, TEXTS, TWO, loaded, noisy_of

from bozzetto.errors import ModelError
from bozzetto.testing.fakes import cameras_around
from bozzetto.types import Rendered, ViewCondition

TIMESTEP = torch.tensor([100, 700])


@pytest.fixture
def pipeline(tmp_path: Path) -> Any:
    return tiny.deepfloyd_if(tmp_path)


@pytest.fixture
def folder(pipeline: Any, tmp_path: Path) -> Path:
    return tiny.saved(pipeline, tmp_path / "if")


def test_the_first_half_of_the_output_is_the_noise(pipeline: Any, folder: Path) -> None:
    prior = loaded("if", folder)
    noisy, text = noisy_of(prior), prior.encode_text(TEXTS[:2])
    tokens, _ = pipeline.encode_prompt(TEXTS[:2], do_classifier_free_guidance=False, device=CPU)
    with torch.no_grad():
        expected = pipeline.unet(noisy, TIMESTEP, encoder_hidden_states=tokens).sample
    assert expected.shape[1] == 6
    said = prior.networks.predict(noisy, TIMESTEP, text, TWO)
    torch.testing.assert_close(said, expected[:, :3], rtol=0.0, atol=5e-6)
    with torch.no_grad():
        prior.networks.denoiser.conv_out.weight[3:] += 1.0
    assert torch.equal(prior.networks.predict(noisy, TIMESTEP, text, TWO), said), "the variance has no influence"


def test_levels_are_those_of_its_own_schedule(pipeline: Any, folder: Path) -> None:
    timestep = torch.arange(0, 1000, 13)
    level = loaded("if", folder).networks.level(timestep)
    assert torch.equal(level.alpha_bar, pipeline.scheduler.alphas_cumprod[timestep])


def test_case_does_not_matter(folder: Path) -> None:
    one, other = loaded("if", folder).encode_text(["A Ball ", "a ball"])
    assert torch.equal(one, other)


def test_pixels_are_the_latents_and_nothing_is_drawn_for_them(folder: Path) -> None:
    prior = loaded("if", folder)
    text = prior.encode_text(["a ball"]).expand(2, -1, -1)
    image = torch.rand(2, 8, 8, 3, requires_grad=True)
    flat = torch.ones(2, 8, 8, 1)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    bound = prior.prior(ViewCondition(text, text), cameras_around([0.0, 90.0], size=8), 0)
    latents = bound.latents(Rendered(image, flat, flat), generator)
    assert torch.equal(generator.get_state(), before)
    torch.testing.assert_close(latents, 2.0 * image.permute(0, 3, 1, 2) - 1.0)
    (gradient,) = torch.autograd.grad(latents.sum(), image)
    assert torch.equal(gradient, torch.full_like(image, 2.0))
    torch.testing.assert_close(bound.decode(latents.detach()), image.detach().permute(0, 3, 1, 2))


def test_a_later_stage_is_refused(folder: Path) -> None:
    config = UNet2DConditionModel.load_config(folder / "unet")
    values = {key: value for key, value in config.items() if not key.startswith("_")}
    UNet2DConditionModel(**{**values, "in_channels": 6}).save_pretrained(folder / "unet")
    with pytest.raises(ModelError, match="a later stage of DeepFloyd IF"):
        loaded("if", folder)
