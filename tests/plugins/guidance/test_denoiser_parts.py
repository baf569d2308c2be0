"""Tests of loading, text, precision and placement."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bozzetto.errors import ModelError
from bozzetto.testing.fakes import TEXT_LENGTH, TEXT_WIDTH, tiny_stable_diffusion
from bozzetto_plugins.guidance.clip_text import ClipText
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.offload import offload
from bozzetto_plugins.guidance.precision import choose_dtype, is_accelerator, processor_dtype
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion
from bozzetto_plugins.guidance.weights import variant_of

Folders = Callable[..., Path]
CPU = torch.device("cpu")


def copy_of(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "copy"))


def test_a_network_with_a_class_embedding_is_given_the_first_token_there_too(
    tiny_folder: Folders, tmp_path: Path
) -> None:
    from diffusers import UNet2DConditionModel

    folder = copy_of(tiny_folder(), tmp_path)
    config = dict(UNet2DConditionModel.load_config(folder / "unet"))
    added = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": TEXT_WIDTH}
    unet = UNet2DConditionModel.from_config({**config, **added}).eval()
    unet.save_pretrained(folder / "unet")
    denoiser = Denoiser(folder, CPU, torch.float32)
    noisy, text = torch.randn(2, 4, *denoiser.latent_size), torch.randn(2, TEXT_LENGTH, TEXT_WIDTH)
    timestep = torch.tensor([3, 7])
    with torch.no_grad():
        expected = unet(noisy, timestep, text, class_labels=text[:, 0]).sample
    torch.testing.assert_close(denoiser.predict(noisy, timestep, text), expected)
    assert not torch.equal(expected, unet(noisy, timestep, text, class_labels=text[:, 1]).sample)


def test_diffusers_own_pipeline_reads_the_tiny_model(tiny_folder: Folders) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(tiny_folder(), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    image = pipeline("a ball", num_inference_steps=1, output_type="np", height=32, width=32, generator=generator).images
    assert image.shape == (1, 32, 32, 3)
    embedding, _ = pipeline.encode_prompt("a ball", CPU, 1, False)
    torch.testing.assert_close(ClipText(tiny_folder(), CPU, torch.float32).encode(["a ball"]), embedding)


def test_the_noise_schedule_is_the_models_own(tiny_folder: Folders) -> None:
    from diffusers import PNDMScheduler

    folder = tiny_folder(train_steps=50)
    denoiser = Denoiser(folder, CPU, torch.float32)
    expected = PNDMScheduler.from_pretrained(folder, subfolder="scheduler").alphas_cumprod
    torch.testing.assert_close(denoiser.alpha_bars, expected)
    assert denoiser.train_steps == 50


def test_encode_and_decode_scale_latents(tiny_folder: Folders) -> None:
    denoiser = Denoiser(tiny_folder(), CPU, torch.float32)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    posterior = denoiser.vae.encode(2.0 * image - 1.0).latent_dist
    noise = torch.ones(1, 4, 8, 8)
    scale = denoiser.vae.config.scaling_factor
    torch.testing.assert_close(denoiser.encode(image, None), scale * posterior.mean)
    torch.testing.assert_close(denoiser.encode(image, noise), scale * (posterior.mean + posterior.std))
    decoded = denoiser.vae.decode(posterior.mean).sample
    torch.testing.assert_close(denoiser.decode(denoiser.encode(image, None)), (0.5 * decoded + 0.5).clamp(0, 1))


def test_weights_are_frozen_and_in_the_dtype_asked_for(tiny_folder: Folders) -> None:
    denoiser = Denoiser(tiny_folder(), CPU, torch.bfloat16)
    for network in (denoiser.unet, denoiser.vae):
        assert not network.training
        assert {(p.dtype, p.requires_grad) for p in network.parameters()} == {(torch.bfloat16, False)}


def test_half_precision_files_are_found_by_their_name(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path, fp16_only=True)
    assert variant_of(folder / "unet") == "fp16"
    Denoiser(folder, CPU, torch.float32)
    assert ClipText(folder, CPU, torch.float32).encode(["a ball"]).shape == (1, TEXT_LENGTH, TEXT_WIDTH)


def test_full_precision_files_are_preferred_where_both_are(tmp_path: Path) -> None:
    for name in ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"):
        (tmp_path / name).touch()
    assert variant_of(tmp_path) is None


def test_missing_weights_are_named(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder(), tmp_path)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"UNet2DConditionModel in .*unet cannot be loaded"):
        Denoiser(folder, CPU, torch.float32)


def test_an_inpainting_model_is_refused(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder(), tmp_path)
    shutil.rmtree(folder / "vae")
    shutil.copytree(tiny_folder(latent_channels=8) / "vae", folder / "vae")
    with pytest.raises(ModelError, match="reads 4 channels and the image encoder makes 8"):
        Denoiser(folder, CPU, torch.float32)


def test_parts_of_different_models_are_refused(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder(), tmp_path)
    path = folder / "text_encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_size": 99}))
    with pytest.raises(ModelError, match="99 wide, the denoiser expects 16"):
        StableDiffusion(StableDiffusionConfig(dtype="float32"), folder, CPU)


def test_text_embeddings_do_not_depend_on_company(tiny_folder: Folders) -> None:
    text = ClipText(tiny_folder(), CPU, torch.float32)
    both = text.encode(["a ball", "something longer"])
    torch.testing.assert_close(text.encode(["a ball"])[0], both[0])
    assert both.shape == (2, TEXT_LENGTH, TEXT_WIDTH)


def test_what_a_cut_prompt_loses_is_said(tiny_folder: Folders, caplog: pytest.LogCaptureFixture) -> None:
    text = ClipText(tiny_folder(), CPU, torch.float32)
    text.encode(["a" * (TEXT_LENGTH - 2)])
    assert not caplog.records
    text.encode(["a" * (TEXT_LENGTH - 2) + " hat"])
    assert "'hat'" in caplog.text


def test_the_text_model_is_known_by_weights_tokenizer_and_precision(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder(), tmp_path)
    first = ClipText(tiny_folder(), CPU, torch.float32).model_id
    assert ClipText(folder, CPU, torch.float32).model_id == first
    assert ClipText(folder, CPU, torch.bfloat16).model_id != first
    assert ClipText(tiny_folder(seed=1), CPU, torch.float32).model_id != first
    with (folder / "tokenizer" / "merges.txt").open("a") as stream:
        stream.write("a b\n")
    assert ClipText(folder, CPU, torch.float32).model_id != first


def test_a_closed_vocabulary_is_read(tiny_folder: Folders, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder(), tmp_path)
    words = {"objects": ["coffee table", "hamburger"], "colors": ["red"], "views": ["front", "side"]}
    (folder / "bozzetto.json").write_text(json.dumps(words))
    config = StableDiffusionConfig(dtype="float32")
    guidance = StableDiffusion(config, folder, CPU)
    assert tuple(guidance.unknown_words("A red coffee table, front view of a DSLR dslr")) == ("of", "dslr")
    assert tuple(StableDiffusion(config, tiny_folder(), CPU).unknown_words("anything")) == ()


def test_automatic_precision_suits_the_device() -> None:
    assert not is_accelerator(CPU)
    assert choose_dtype("auto", CPU) == processor_dtype()
    assert processor_dtype() in (torch.float32, torch.bfloat16)
    assert choose_dtype("float16", CPU) == torch.float16


@pytest.mark.parametrize("mode", ["model", "sequential"])
def test_gradients_pass_through_offloaded_weights(tiny_folder: Folders, mode: str) -> None:
    pytest.importorskip("accelerate")
    plain, moved = (Denoiser(tiny_folder(), CPU, torch.float32) for _ in range(2))
    rest = offload(moved.vae, moved.unet, CPU, mode)
    noisy, timestep, text = torch.zeros(1, 4, 8, 8), torch.tensor([10]), torch.zeros(1, TEXT_LENGTH, TEXT_WIDTH)
    gradients = []
    for denoiser in (plain, moved):
        image = torch.full((1, 3, 32, 32), 0.4, requires_grad=True)
        latents = denoiser.encode(image, None)
        output = denoiser.predict(noisy, timestep, text)
        rest()
        (latents * output).sum().backward()
        gradients.append(image.grad)
    torch.testing.assert_close(*gradients)


def _named(weights: dict[str, torch.Tensor], end: str) -> str:
    return next(name for name in weights if name.endswith(end))


def _drop(path: Path, end: str) -> None:
    weights = load_file(path)
    del weights[_named(weights, end)]
    save_file(weights, path)


def _reshape(path: Path, end: str) -> None:
    weights = load_file(path)
    name = _named(weights, end)
    weights[name] = torch.zeros(3, *weights[name].shape)
    save_file(weights, path)


def _settings(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


UNET, TEXT = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: _drop(f / UNET, "conv_in.weight"), r"UNet2DConditionModel in .*unet cannot be loaded"),
        (lambda f: _reshape(f / UNET, "conv_in.bias"), r"UNet2DConditionModel in .*unet cannot be loaded"),
        (lambda f: _drop(f / TEXT, "final_layer_norm.weight"), "The text encoder in .*cannot be loaded"),
        (lambda f: _reshape(f / TEXT, "final_layer_norm.bias"), "The text encoder in .*cannot be loaded"),
        (lambda f: (f / UNET).write_bytes(b"x" * 100), r"unet/diffusion_pytorch_model\.safetensors is cut short"),
        (lambda f: _settings(f / "unet/config.json", block_out_channels=[8000, 16000]), "describes .* weights, and"),
        (lambda f: _settings(f / "text_encoder/config.json", intermediate_size=10**7), "describes .* weights, and"),
        (lambda f: _settings(f / "unet/config.json", down_block_types=["os.system", "DownBlock2D"]), "UNet2D.*cannot"),
        (lambda f: _settings(f / "vae/config.json", scaling_factor=[1]), r"settings say scaling_factor: \[1\]"),
        (lambda f: _settings(f / "vae/config.json", norm_num_groups=7), "AutoencoderKL in .*vae cannot be loaded"),
        (lambda f: _settings(f / "scheduler/scheduler_config.json", beta_start="x"), "noise schedule in .*cannot"),
        (lambda f: _settings(f / "scheduler/scheduler_config.json", beta_schedule="x"), "noise schedule in .*cannot"),
        (
            lambda f: _settings(f / "text_encoder/config.json", hidden_size="wide"),
            "text encoder's settings in .*cannot",
        ),
        (lambda f: _settings(f / "text_encoder/config.json", hidden_size=None), "text encoder's settings in .*cannot"),
        (lambda f: (f / "tokenizer/vocab.json").write_text('{"a": "b"}'), "The tokenizer in .*cannot be loaded"),
        (lambda f: (f / "tokenizer/vocab.json").unlink(), "The tokenizer in .*cannot be loaded"),
        (lambda f: (f / "tokenizer/tokenizer.json").write_text("{}"), "The tokenizer in .*cannot be loaded"),
        (lambda f: _settings(f / "tokenizer/vocab.json", **{"b</w>": 10**6}), "does not fit the tokenizer"),
    ],
)
def test_damage_is_one_line_that_names_the_part(tiny_folder: Folders, tmp_path: Path, damage, told: str) -> None:
    folder = copy_of(tiny_folder(), tmp_path)
    damage(folder)
    with pytest.raises(ModelError, match=told) as caught:
        StableDiffusion(StableDiffusionConfig(model="x", dtype="float32"), folder, CPU).encode_text(["a b"])
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("with_noise", [True, False])
def test_views_encoded_a_few_at_a_time_have_the_same_latents_and_gradients(
    tiny_folder: Folders, with_noise: bool, dtype: torch.dtype
) -> None:
    image = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = []
    for views in (0, 1, 2, 3):
        denoiser = Denoiser(tiny_folder(), CPU, dtype, encode_views=views)
        noise = torch.ones(3, 4, 8, 8) if with_noise else None
        latents = denoiser.encode(image, noise)
        found.append((latents.detach(), *torch.autograd.grad(latents.square().sum(), image)))
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for latents, gradient in found[1:]:
        torch.testing.assert_close(latents, found[0][0], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(gradient, found[0][1], rtol=tolerance, atol=tolerance * float(gradient.abs().max()))


def test_compiled_networks_are_not_offloaded() -> None:
    with pytest.raises(ValueError, match="compile_networks: compiled networks cannot be moved"):
        StableDiffusionConfig(compile_networks=True, cpu_offload="model")
