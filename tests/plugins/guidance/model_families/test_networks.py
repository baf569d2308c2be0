"""Tests of every family alike: text, latents, levels and predictions of diffusers' own pipelines, on tiny weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.plugins.guidance.model_families import tiny

from bozzetto.errors import ConfigError, ModelError
from bozzetto.math.levels import add_noise_at
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.guidance import GuidanceContract
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig
from bozzetto_plugins.guidance.offload import offload

CPU = torch.device("cpu")
TEXTS = ["a ball, front view", "an ANVIL", ""]
MAKERS: dict[str, Callable[[Path], Any]] = {
    "sdxl": tiny.sdxl, "sd3": tiny.sd3, "flux2": tiny.flux2, "z_image": tiny.z_image, "if": tiny.deepfloyd_if,
    "mvdream": lambda folder: tiny.stock_pipeline(tiny.mvdream(folder / "mvdream")),
}  # fmt: skip
AZIMUTHS_DEG = (0.0, 90.0)
TWO = cameras_around(AZIMUTHS_DEG)


def loaded(name: str, folder: Path, **values: Any) -> DiffusionPrior:
    size = {"image_size": 16} if name == "z_image" else {}
    config = DiffusionPriorConfig(**{"model": str(folder), "dtype": "float32", **size, **values})
    return DiffusionPrior(config, folder, CPU)


@pytest.fixture(scope="module", params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    made: str = request.param
    return made


@pytest.fixture(scope="module")
def pipeline(name: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return MAKERS[name](tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def folder(name: str, pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny.saved(pipeline, tmp_path_factory.mktemp("model"))
    if name == "mvdream":
        (made / "model_index.json").write_text(json.dumps({"_class_name": "MVDreamPipeline"}), encoding="utf-8")
    return made


class TestContract(GuidanceContract):
    @pytest.fixture(autouse=True)
    def _folder(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    def make(self) -> DiffusionPrior:
        return loaded(self.name, self.folder)

    def cameras(self) -> Cameras:
        return replace(super().cameras(), views_per_group=2 if self.name == "mvdream" else 1)


def noisy_of(prior: DiffusionPrior) -> torch.Tensor:
    networks = prior.networks
    return torch.randn(2, networks.latent_channels, *networks.latent_size, generator=torch.Generator().manual_seed(1))


def test_text_is_that_of_the_pipeline(name: str, pipeline: Any, folder: Path) -> None:
    prior = loaded(name, folder)
    words = prior.networks.family.layout.unpack(prior.encode_text(TEXTS))
    if name == "sd3":
        tokens, _, pooled, _ = pipeline.encode_prompt(TEXTS, None, None, device=CPU, do_classifier_free_guidance=False)
        # Loaded weights lie elsewhere in memory, which changes the last bits.
        torch.testing.assert_close(words.tokens, tokens, rtol=0.0, atol=2e-5)
        torch.testing.assert_close(words.pooled, pooled, rtol=0.0, atol=5e-6)
    elif name == "flux2":
        tokens, _ = pipeline.encode_prompt(TEXTS, device=CPU)
        torch.testing.assert_close(words.tokens, tokens, rtol=0.0, atol=2e-5)
    elif name == "z_image":
        known, _ = pipeline.encode_prompt([*TEXTS], device=CPU, do_classifier_free_guidance=False)
        for tokens, mask, expected in zip(words.tokens, words.mask, known, strict=True):
            torch.testing.assert_close(tokens[mask], expected, rtol=0.0, atol=5e-6)
    elif name == "if":
        tokens, _ = pipeline.encode_prompt(TEXTS, do_classifier_free_guidance=False, device=CPU)
        torch.testing.assert_close(words.tokens, tokens, rtol=0.0, atol=2e-5)
    elif name == "mvdream":
        tokens, _ = pipeline.encode_prompt(TEXTS, CPU, 1, False)
        torch.testing.assert_close(words.tokens, tokens, rtol=0.0, atol=2e-5)


def test_a_prediction_of_two_views_is_that_of_each_and_depends_on_the_text(name: str, folder: Path) -> None:
    prior = loaded(name, folder)
    noisy, timestep, text = noisy_of(prior), torch.tensor([100, 700]), prior.encode_text(TEXTS[:2])
    both = prior.networks.predict(noisy, timestep, text, TWO)
    assert both.shape == noisy.shape and both.dtype == torch.float32 and both.isfinite().all()
    for row in range(2):
        one = slice(row, row + 1)
        camera = cameras_around([AZIMUTHS_DEG[row]])
        alone = prior.networks.predict(noisy[one], timestep[one], text[one], camera)
        torch.testing.assert_close(alone, both[one], rtol=0.0, atol=2e-5)
    assert not torch.equal(prior.networks.predict(noisy, timestep, text.flip(0), TWO), both)


def test_encoding_and_decoding_are_inverse_maps_of_latents(name: str, folder: Path) -> None:
    family = loaded(name, folder).networks.family
    latents = noisy_of(loaded(name, folder))
    torch.testing.assert_close(family.normalised(family.restored(latents)), latents, rtol=0.0, atol=1e-5)
    shuffled = family.unfolded(latents)
    assert torch.equal(shuffled.flatten().sort().values, latents.flatten().sort().values)


def test_images_are_encoded_and_decoded_as_the_pipeline_does(name: str, pipeline: Any, folder: Path) -> None:
    networks = loaded(name, folder).networks
    image = torch.rand(2, 3, *networks.image_size, generator=torch.Generator().manual_seed(0))
    if name == "if":
        assert torch.equal(networks.encode(image, None), 2.0 * image - 1.0)
        torch.testing.assert_close(networks.decode(2.0 * image - 1.0), image)
        return
    vae, latents = pipeline.vae, networks.encode(image, None)
    with torch.no_grad():
        plain = vae.encode(2.0 * image - 1.0).latent_dist.mode()
        if name == "flux2":
            statistics = [value.view(1, -1, 1, 1) for value in (vae.bn.running_mean, vae.bn.running_var)]
            expected = pipeline._patchify_latents(plain) - statistics[0]
            expected = expected / torch.sqrt(statistics[1] + vae.config.batch_norm_eps)
        else:
            expected = (plain - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor
        decoded = pipeline.image_processor.postprocess(vae.decode(plain).sample, output_type="pt")
    torch.testing.assert_close(latents, expected, rtol=0.0, atol=1e-5)
    torch.testing.assert_close(networks.decode(latents), decoded, rtol=0.0, atol=1e-5)


def test_a_gradient_reaches_the_image_in_every_precision(name: str, folder: Path) -> None:
    for dtype in ("float32", "float16", "bfloat16"):
        networks = loaded(name, folder, dtype=dtype).networks
        image = torch.rand(2, 3, *networks.image_size, requires_grad=True)
        latents = networks.encode(image, None)
        assert latents.shape == (2, networks.latent_channels, *networks.latent_size) and latents.dtype == torch.float32
        latents.square().sum().backward()
        assert image.grad is not None and image.grad.isfinite().all() and image.grad.any()
        decoded = networks.decode(latents.detach())
        assert decoded.shape == image.shape and decoded.min() >= 0.0 and decoded.max() <= 1.0


def test_half_precision_predicts_nearly_the_same(name: str, folder: Path) -> None:
    full, half = loaded(name, folder), loaded(name, folder, dtype="bfloat16")
    noisy, timestep, text = noisy_of(full), torch.tensor([100, 700]), full.encode_text(TEXTS[:2])
    said = [prior.networks.predict(noisy, timestep, text, TWO) for prior in (full, half)]
    assert said[1].dtype == torch.float32
    assert (said[0] - said[1]).norm() < 0.1 * said[0].norm()


@pytest.mark.parametrize("mode", ["model", "sequential"])
def test_offloaded_weights_predict_the_same(name: str, folder: Path, mode: Any) -> None:
    usual, offloaded = loaded(name, folder).networks, loaded(name, folder).networks
    leave = offload(offloaded.vae or torch.nn.Identity(), offloaded.denoiser, CPU, mode)
    prior = loaded(name, folder)
    noisy, timestep, text = noisy_of(prior), torch.tensor([100, 700]), prior.encode_text(TEXTS[:2])
    assert torch.equal(offloaded.predict(noisy, timestep, text, TWO), usual.predict(noisy, timestep, text, TWO))
    leave()


def test_levels_ascend_and_conversions_are_inverse(name: str, folder: Path) -> None:
    prior = loaded(name, folder)
    networks = prior.networks
    every = networks.level(torch.arange(networks.train_steps))
    assert (every.noise.diff() >= 0.0).all() and (every.signal.diff() <= 0.0).all()
    clean, noise, timestep = noisy_of(prior), torch.randn_like(noisy_of(prior)), torch.tensor([100, 700])
    noisy = add_noise_at(clean, noise, networks.level(timestep))
    exact = noise - clean if networks.output == "flow" else noise
    torch.testing.assert_close(networks.epsilon(exact, noisy, timestep), noise, rtol=0.0, atol=1e-4)
    torch.testing.assert_close(networks.x0(exact, noisy, timestep), clean, rtol=0.0, atol=1e-4)


def test_the_text_encoders_are_freed(name: str, folder: Path) -> None:
    prior = loaded(name, folder)
    prior.encode_text(["a ball"])
    held = [value for value in vars(prior.networks.family).values() if isinstance(value, torch.nn.Module)]
    assert held == []


def test_a_distilled_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.saved(tiny.flux2(tmp_path, distilled=True), tmp_path / "klein")
    with pytest.raises(ModelError, match="is FLUX.2 klein and cannot guide: it is distilled to few steps"):
        DiffusionPriorConfig(model=str(folder)).require_weights(folder)
    usual = tiny.saved(tiny.z_image(tmp_path), tmp_path / "z-image")
    DiffusionPriorConfig(model=str(usual)).require_weights(usual)
    with pytest.raises(ModelError, match="says 'turbo'"):
        DiffusionPriorConfig(model="someone/Z-Image-Turbo").require_weights(usual)
    with pytest.raises(ModelError, match="long_text: has no effect on Z-Image"):
        DiffusionPriorConfig(model=str(usual), long_text=False).require_weights(usual)


def test_an_image_size_that_the_model_cannot_have_is_refused(tmp_path: Path) -> None:
    folder = tiny.saved(tiny.flux2(tmp_path), tmp_path / "flux2")
    with pytest.raises(ConfigError, match="image_size: must be a multiple of 4 for FLUX.2 klein base, got 18"):
        loaded("flux2", folder, image_size=18)
