"""Tests of LoRAs: merged as diffusers' own pipeline does, in three layouts; mixed; with an adapter; no network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from bozzetto.config.loading import load_recipe
from bozzetto.engine.stopping import StopSignals
from bozzetto.errors import ConfigError, ModelError
from bozzetto.files import sha256_of
from bozzetto.machine.accelerators import detect
from bozzetto.machine.capacity import check_files
from bozzetto.math.low_rank import low_rank_change
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.runs.start import files_of, opened, prepare
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.family_table import DISTILLED
from bozzetto_plugins.guidance.lora_config import LoraConfig
from bozzetto_plugins.guidance.lora_files import read_lora
from bozzetto_plugins.guidance.lora_names import check_names
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion

CPU, RANK, ALPHA = torch.device("cpu"), 2, 6.0
TIMES = torch.tensor([300, 700])
UNET_ENDS = ("attn1.to_q", "attn2.to_k", "attn2.to_out.0", "ff.net.2", "proj_in", "resnets.0.conv1")
TEXT_ENDS = ("self_attn.q_proj", "mlp.fc1")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def guidance_of(folder: Path, *loras: tuple[Path, float]) -> StableDiffusion:
    configs = tuple(LoraConfig(str(path), scale) for path, scale in loras)
    return StableDiffusion(StableDiffusionConfig(model="tiny", dtype="float32", loras=configs), folder, CPU)


def pairs(network: nn.Module, ends: tuple[str, ...], seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the two matrices of each layer whose name ends so."""
    found = {}
    for index, (name, layer) in enumerate(network.named_modules()):
        if name.endswith(ends) and isinstance(layer, (nn.Linear, nn.Conv2d)):
            shape = layer.weight.shape
            up_shape = (shape[0], RANK) + (1, 1) * (len(shape) == 4)
            found[name] = (0.3 * noise(RANK, *shape[1:], seed=seed + index), 0.3 * noise(*up_shape, seed=-seed - index))
    assert len(found) >= len(ends)
    return found


def write_lora(path: Path, folder: Path, layout: str, seed: int = 1, text: bool = True) -> Path:
    """Write a random LoRA for the model in `folder`, with an alpha that is not its rank."""
    plain = guidance_of(folder)
    parts = {"unet": (pairs(plain.denoiser.unet, UNET_ENDS, seed), "")}
    if text:
        parts["text_encoder"] = (pairs(plain.text._load(), TEXT_ENDS, seed), "text_model.")
    tensors: dict[str, Tensor] = {}
    metadata = {}
    for part, (changes, prefix) in parts.items():
        for name, (down, up) in changes.items():
            layer = prefix + name
            if layout == "kohya":
                stem = f"lora_{'unet' if part == 'unet' else 'te'}_{layer.replace('.', '_')}"
                tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
                tensors[f"{stem}.alpha"] = torch.tensor(ALPHA)
            else:
                tensors |= {f"{part}.{layer}.lora_A.weight": down, f"{part}.{layer}.lora_B.weight": up}
                metadata |= {
                    f"{part}.lora_alpha": ALPHA,
                    f"{part}.r": RANK,
                    f"{part}.target_modules": sorted({".".join(one.split(".")[-2:]) for one in changes}),
                }
    save_file(tensors, path, {"lora_adapter_metadata": json.dumps(metadata)} if metadata else None)
    return path


def said(guidance: StableDiffusion, text: Tensor | None = None) -> Tensor:
    embedded = guidance.encode_text(["a cat"]).expand(2, -1, -1) if text is None else text
    return guidance.denoiser.predict(noise(2, 4, 8, 8), TIMES, embedded)


def test_the_change_is_alpha_over_rank_times_the_product() -> None:
    up, down = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, 4.0, 5.0]])
    assert torch.equal(low_rank_change(up, down, 2.0), torch.tensor([[6.0, 8.0, 10.0], [12.0, 16.0, 20.0]]))
    kernel = noise(RANK, 3, 3, 3)
    whole = torch.nn.functional.conv2d(torch.nn.functional.conv2d(noise(1, 3, 5, 5), kernel), noise(4, RANK, 1, 1))
    merged = low_rank_change(noise(4, RANK, 1, 1), kernel, float(RANK)).view(4, 3, 3, 3)
    torch.testing.assert_close(torch.nn.functional.conv2d(noise(1, 3, 5, 5), merged), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["kohya", "peft"])
def test_predictions_and_texts_are_those_of_diffusers_pipeline(tmp_path: Path, tiny_model: Path, layout: str) -> None:
    from diffusers import StableDiffusionPipeline

    path = write_lora(tmp_path / "style.safetensors", tiny_model, layout)
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_model, local_files_only=True)
    pipeline.load_lora_weights(str(tmp_path), weight_name=path.name, adapter_name="style")
    pipeline.set_adapters("style", 0.8)
    guidance = guidance_of(tiny_model, (path, 0.8))
    tokens = guidance.text.tokenizer(
        ["a cat"], padding="max_length", max_length=guidance.text.length, truncation=True, return_tensors="pt"
    )
    same = guidance_of(tiny_model, (write_lora(tmp_path / "same.safetensors", tiny_model, "peft"), 0.8))
    with torch.no_grad():
        text = pipeline.text_encoder(tokens.input_ids)[0]
        if layout == "kohya":  # of which diffusers 0.42 leaves out the attention of the text encoder, with a warning
            text = same.encode_text(["a cat"])
        expected = pipeline.unet(noise(2, 4, 8, 8), TIMES, text.expand(2, -1, -1)).sample
    torch.testing.assert_close(guidance.encode_text(["a cat"]), text, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(said(guidance, text.expand(2, -1, -1)), expected, rtol=1e-4, atol=1e-5)
    plain = guidance_of(tiny_model)
    assert not torch.allclose(plain.encode_text(["a cat"]), text, atol=1e-3)
    assert not torch.allclose(said(plain, text.expand(2, -1, -1)), expected, atol=1e-3)


def test_the_older_layout_of_diffusers_is_read(tmp_path: Path, tiny_model: Path) -> None:
    new = read_lora(write_lora(tmp_path / "new.safetensors", tiny_model, "kohya"))
    stem = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    down, up = noise(RANK, 8), noise(8, RANK)
    for infix, layer in (("processor.to_q_lora", "to_q"), ("processor.to_out_lora", "to_out.0"), ("to_k.lora", "to_k")):
        path = tmp_path / f"{layer}.safetensors"
        save_file({f"unet.{stem}.{infix}.down.weight": down, f"unet.{stem}.{infix}.up.weight": up}, path)
        assert set(read_lora(path).unet) == {f"{stem}.{layer}"}
        said(guidance_of(tiny_model, (path, 1.0)))
    assert new.unet and new.text_encoder


def test_scales_add(tmp_path: Path, tiny_model: Path) -> None:
    path = write_lora(tmp_path / "a.safetensors", tiny_model, "kohya")
    other = write_lora(tmp_path / "b.safetensors", tiny_model, "peft", seed=50)
    halves, whole = guidance_of(tiny_model, (path, 0.3), (path, 0.5)), guidance_of(tiny_model, (path, 0.8))
    torch.testing.assert_close(said(halves), said(whole), rtol=1e-4, atol=1e-5)
    assert torch.equal(said(guidance_of(tiny_model, (path, 0.0))), said(guidance_of(tiny_model)))
    mixed, swapped = (
        guidance_of(tiny_model, (path, 0.3), (other, -0.5)),
        guidance_of(tiny_model, (other, -0.5), (path, 0.3)),
    )
    torch.testing.assert_close(said(mixed), said(swapped), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(said(mixed), said(guidance_of(tiny_model, (path, 0.3))), atol=1e-3)


def test_cached_texts_are_of_the_lora(tmp_path: Path, tiny_model: Path) -> None:
    path = write_lora(tmp_path / "a.safetensors", tiny_model, "kohya")
    only = write_lora(tmp_path / "b.safetensors", tiny_model, "kohya", text=False)
    ids = [guidance_of(tiny_model, *some).text_model_id for some in ((), [(path, 1.0)], [(path, 0.5)], [(only, 1.0)])]
    assert len(set(ids)) == 3 and ids[0] == ids[3]


def test_the_student_has_the_loras_and_its_adapter(tmp_path: Path, tiny_model: Path) -> None:
    """Teacher [style], student [style, particle]: the same at first, and the teacher stays what it is."""
    path = write_lora(tmp_path / "a.safetensors", tiny_model, "kohya")
    guidance = guidance_of(tiny_model, (path, 0.8))
    text, before = guidance.encode_text(["a cat"]).expand(2, -1, -1), said(guidance)
    module, pose = guidance.add_adapter(2), torch.zeros(2, 16)
    assert torch.equal(guidance.denoiser.predict_adapted(noise(2, 4, 8, 8), TIMES, text, pose), before)
    with torch.no_grad():
        for value in module.parameters():
            value += 0.1
    assert torch.equal(said(guidance, text), before)
    assert not torch.allclose(guidance.denoiser.predict_adapted(noise(2, 4, 8, 8), TIMES, text, pose), before)


def test_half_precision_weights_are_rounded_once(tmp_path: Path, tiny_model: Path) -> None:
    path = write_lora(tmp_path / "a.safetensors", tiny_model, "kohya")
    exact = guidance_of(tiny_model, (path, 0.8)).denoiser.unet.state_dict()
    config = StableDiffusionConfig(model="tiny", dtype="bfloat16", loras=(LoraConfig(str(path), 0.8),))
    for name, value in StableDiffusion(config, tiny_model, CPU).denoiser.unet.state_dict().items():
        assert value.dtype == torch.bfloat16
        torch.testing.assert_close(value.float(), exact[name], rtol=2.0**-7, atol=2.0**-8)


BAD: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "other": (lambda: {"model.weight": torch.ones(1)}, r"holds model\.weight, which is in no layout"),
    "dora": (lambda: {"lora_unet_x.dora_scale": torch.ones(1)}, "is DoRA"),
    "loha": (lambda: {"lora_unet_x.hada_w1_a": torch.ones(1)}, "is LoHa"),
    "sdxl": (lambda: {"lora_te2_x.lora_down.weight": torch.ones(1, 1)}, "is of SDXL"),
    "half": (lambda: {"lora_unet_x.lora_down.weight": torch.ones(1, 1)}, "do not fit together"),
    "nowhere": (
        lambda: {"lora_unet_x.lora_down.weight": torch.ones(1, 1), "lora_unet_x.lora_up.weight": torch.ones(1, 1)},
        "changes x, and the denoiser has no such layer. It is of another model",
    ),
    "wide": (
        lambda: {
            "unet.conv_in.lora_A.weight": torch.ones(1, 9, 3, 3), "unet.conv_in.lora_B.weight": torch.ones(8, 1, 1, 1)
        },
        "by a matrix of 8 by 81, and that of the denoiser is 8 by 36",
    ),
    "infinite": (
        lambda: {
            "unet.conv_in.lora_A.weight": torch.full((1, 4, 3, 3), 1e30), "unet.conv_in.lora_B.weight": torch.full((8, 1, 1, 1), 1e30)
        },
        "are not finite. Lower their scale",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("tensors", "why"), BAD.values(), ids=BAD)
def test_what_cannot_be_merged_says_why(tmp_path: Path, tiny_model: Path, tensors: Callable[[], Any], why: str) -> None:
    path = tmp_path / "bad.safetensors"
    save_file(tensors(), path)
    with pytest.raises(ModelError, match=f"^loras: .*{why}"):
        guidance_of(tiny_model, (path, 1.0))


@pytest.mark.parametrize(
    ("name", "metadata", "where"),
    [
        ("lcm-lora-sdv1-5.safetensors", {}, "name says 'lcm'"),
        ("lcm-lora-sdv1-5/pytorch_lora_weights.safetensors", {}, "name says 'lcm'"),
        ("Hyper-SD15-8steps-lora.safetensors", {}, "name says 'hyper-sd15'"),
        ("sdxl_lightning_4step_lora.safetensors", {}, "name says 'lightning'"),
        ("sd_turbo_lora.safetensors", {}, "name says 'turbo'"),
        ("mine.safetensors", {"modelspec.title": "LCM of mine"}, "modelspec.title says 'lcm'"),
        ("mine.safetensors", {"ss_output_name": "mineTurbo_v2"}, "ss_output_name says 'turbo'"),
        ("style.safetensors", {"ss_output_name": "style"}, ""),
    ],
)
def test_what_distils_a_model_is_refused_by_its_name_or_metadata(
    tmp_path: Path, name: str, metadata: dict[str, str], where: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    save_file({f"unet.mid.lora.{side}.weight": torch.zeros(2, 2) for side in ("up", "down")}, path, metadata or None)
    if not where:
        check_names(path)
        return
    with pytest.raises(ModelError, match=re.escape(where)) as caught:
        check_names(path)
    assert str(caught.value).startswith(f"loras: {path} ") and DISTILLED in str(caught.value)


def test_settings_are_checked_without_loading(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"is no \.safetensors file"):
        StableDiffusionConfig(loras=(LoraConfig(str(tmp_path / "a.pt")),)).require_weights(tiny_model)
    for scale in (float("nan"), 11.0):
        with pytest.raises(ValueError, match="scale: must lie in"):
            LoraConfig("a.safetensors", scale)
    with pytest.raises(ValueError, match="file: must name"):
        LoraConfig(" ")


def test_a_recipe_names_its_files_beside_itself_and_they_are_hashed(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "styles").mkdir()
    path = write_lora(tmp_path / "styles" / "a.safetensors", tiny_model, "kohya")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: styled\nextends: dreamfusion-sd\nprompt: a cat\nsystem: {tasks: {random: {guidance: "
        "{model: bozzetto-mini, loras: [{file: styles/a.safetensors, scale: 0.8}, {file: styles/b.safetensors}]}}}}\n"
    )
    registry = Registry.discover(installed_sources({}), strict=True)
    loaded = load_recipe(recipe, registry, [], "cpu")
    guidance = loaded.stages[0].tasks[0].guidance
    assert guidance.config.loras == (LoraConfig(str(path), 0.8), LoraConfig(str(path.with_name("b.safetensors"))))
    assert files_of(guidance) == [str(path), str(path.with_name("b.safetensors"))]
    with pytest.raises(ConfigError, match=r"guidance\.loras\.1\.file: there is no file .*b\.safetensors"):
        check_files(guidance)
    saved = tmp_path / "elsewhere" / "recipe.yaml"
    saved.parent.mkdir()
    saved.write_text(yaml.safe_dump(loaded.values))
    again = load_recipe(saved, registry).stages[0].tasks[0].guidance
    assert again.config.loras == guidance.config.loras
    with pytest.raises(ConfigError, match=r"loras\[0\]\.scale: must lie in \[-10, 10\], got nan"):
        load_recipe(
            recipe, registry, ["system.tasks.random.guidance.loras=[{file: a.safetensors, scale: .nan}]"], "cpu"
        )


def test_the_manifest_of_a_run_has_their_hashes(tmp_path: Path, tiny_model: Path) -> None:
    path = write_lora(tmp_path / "a.safetensors", tiny_model, "kohya")
    registry, place = Registry.discover(installed_sources({}), strict=True), "system.tasks.random.guidance."
    words = [
        f"output={tmp_path / 'out'}",
        "prompt=a cat",
        f"{place}model={tiny_model}",
        f"{place}loras=[{{file: {path}}}]",
    ]
    prepared = prepare("dreamfusion-sd", registry, words, "cpu", detect())
    with StopSignals() as stop, opened(prepared, registry, ["run"], lambda line: None, stop):
        (manifest,) = (tmp_path / "out").rglob("manifest.json")
    recorded = json.loads(manifest.read_text())["weights"][str(tiny_model)]
    assert recorded[f"file {path}"] == sha256_of(path) and recorded["source"] == "folder"
