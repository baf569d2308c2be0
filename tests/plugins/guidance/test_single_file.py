"""Tests of single files: tiny models in the original layout, and the real sizes on the meta device; no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tests.plugins.guidance.ldm_names import as_ldm
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from bozzetto.errors import ModelError
from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import fetch
from bozzetto.weights.plans import plan
from bozzetto_plugins.guidance import single_file
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.family_table import SINGLE_FILES, family_of
from bozzetto_plugins.guidance.single_file import LAYOUTS, text_weights, write_model_folder, write_vocabulary
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion

CONFIG = StableDiffusionConfig(dtype="float32")
PARTS = {
    "unet": "diffusion_pytorch_model.safetensors", "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}  # fmt: skip


@dataclass
class Tiny:
    """A tiny model as a folder and in the original layout."""

    folder: Path
    layouts: Path
    tensors: dict[str, Tensor]


def write_tiny(place: Path, open_clip: bool) -> Tiny:
    """Write a random model as wide to the text as Stable Diffusion 1.x or 2.x, and its settings as a layout."""
    folder, width = tiny_stable_diffusion(place / "diffusers"), 1024 if open_clip else 768
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), block_out_channels=(8, 16), layers_per_block=2,
        cross_attention_dim=width, attention_head_dim=4, norm_num_groups=4, use_linear_projection=open_clip,
    )  # fmt: skip
    values = json.loads((folder / "text_encoder" / "config.json").read_text())
    text = CLIPTextModel(CLIPTextConfig(**{**values, "hidden_size": width, "intermediate_size": 16}))
    unet.save_pretrained(folder / "unet")
    text.save_pretrained(folder / "text_encoder")
    stored = {part: load_file(folder / part / name) for part, name in PARTS.items()}
    settings = {part: json.loads((folder / part / "config.json").read_text()) for part in PARTS}
    tensors = as_ldm(
        stored["unet"], stored["vae"], stored["text_encoder"], settings["unet"], settings["vae"], open_clip
    )
    layout = place / "layouts" / ("sd-2" if open_clip else "sd-1")
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            (layout / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (layout / path.relative_to(folder)).write_bytes(path.read_bytes())
    return Tiny(folder, place / "layouts", tensors)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return write_tiny(tmp_path_factory.mktemp("tiny"), open_clip=False)


def same_weights(made: Path, original: Path) -> None:
    for part, name in PARTS.items():
        found, expected = load_file(made / part / name), load_file(original / part / name)
        found, expected = ({k.removeprefix("text_model."): v for k, v in one.items()} for one in (found, expected))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in found)


def test_a_single_file_becomes_the_folder_that_it_was_made_of(tiny: Tiny, tmp_path: Path) -> None:
    write_model_folder(tmp_path / "a.safetensors", tiny.tensors, tmp_path, tiny.layouts)
    same_weights(tmp_path, tiny.folder)


def test_version_2_has_the_text_encoder_of_openclip_without_its_last_layer(tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny", open_clip=True)
    file, made = tmp_path / "a.safetensors", tmp_path / "made"
    with pytest.raises(ModelError, match=r"predicts noise .* or velocity .*Put a\.yaml beside it"):
        write_model_folder(file, tiny.tensors, made, tiny.layouts)
    file.with_suffix(".yaml").write_text("model: {params: {parameterization: v}}")
    write_model_folder(file, tiny.tensors, made, tiny.layouts)
    same_weights(made, tiny.folder)
    assert json.loads((made / "scheduler/scheduler_config.json").read_text())["prediction_type"] == "v_prediction"
    assert json.loads((made / "unet/config.json").read_text())["sample_size"] == 96


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_recipe_names_a_single_file_which_is_converted_once(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(single_file, "LAYOUTS", tiny.layouts)
    file = tmp_path / f"style{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": tiny.tensors, "global_step": 3}, file)
    else:
        save_file(tiny.tensors, file)
    found = plan(str(file), Catalogue({}), offline=True, reader=CONFIG)
    assert (found.source, found.folder) == ("file", None)
    assert "to be converted once" in found.describe()
    folder = fetch(found)
    assert folder == tmp_path / "style-diffusers"
    same_weights(folder, tiny.folder)
    again = plan(str(file), Catalogue({}), offline=True, reader=CONFIG)
    assert again.folder == folder and "converted to" in again.describe()
    written = (folder / "converted.json").stat().st_mtime_ns
    assert fetch(again) == fetch(found) == folder
    assert (folder / "converted.json").stat().st_mtime_ns == written
    facts = again.facts(folder)
    assert facts["file"] == str(file) and len(facts["file_sha256"]) == 64 and "unet/" + PARTS["unet"] in facts
    guidance = StableDiffusion(CONFIG, folder, torch.device("cpu"))
    noisy, text = torch.randn(1, 4, 8, 8), guidance.encode_text(["a cat"])
    other = StableDiffusion(CONFIG, tiny.folder, torch.device("cpu"))
    said = [one.denoiser.predict(noisy, torch.tensor([500]), text) for one in (guidance, other)]
    assert torch.equal(*said) and torch.equal(text, other.encode_text(["a cat"]))


def test_a_folder_of_the_user_is_not_overwritten(tiny: Tiny, tmp_path: Path) -> None:
    save_file(tiny.tensors, tmp_path / "style.safetensors")
    (tmp_path / "style-diffusers").mkdir()
    (tmp_path / "style-diffusers" / "mine.txt").write_text("mine")
    with pytest.raises(ModelError, match="which is another folder"):
        fetch(plan(str(tmp_path / "style.safetensors"), Catalogue({}), reader=CONFIG))
    assert [path.name for path in (tmp_path / "style-diffusers").iterdir()] == ["mine.txt"]


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"x": torch.ones(1)}, "trainer": Tiny}, tmp_path / "bad.ckpt")
    with pytest.raises(ModelError, match="is not a plain weight file and is rejected"):
        fetch(plan(str(tmp_path / "bad.ckpt"), Catalogue({}), reader=CONFIG))
    assert not (tmp_path / "bad-diffusers").exists()


def test_what_lacks_a_part_names_it(tiny: Tiny, tmp_path: Path) -> None:
    only = {name: value for name, value in tiny.tensors.items() if not name.startswith("first_stage_model.")}
    with pytest.raises(ModelError, match="holds no tensors of the image encoder"):
        write_model_folder(tmp_path / "a.safetensors", only, tmp_path / "x", tiny.layouts)
    less = dict(tiny.tensors)
    del less["model.diffusion_model.out.2.bias"]
    with pytest.raises(ModelError, match=r"the file lacks conv_out\.bias of the unet"):
        write_model_folder(tmp_path / "a.safetensors", less, tmp_path / "y", tiny.layouts)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("sd-1", (859_520_964, 83_653_863, 123_060_480)), ("sd-2", (865_910_724, 83_653_863, 340_387_840))],
)
def test_the_settings_of_the_real_models_fit_their_original_layout(name: str, counts: tuple[int, ...]) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    settings: dict[str, Mapping[str, Any]] = {
        part: json.loads((LAYOUTS / name / part / "config.json").read_text()) for part in PARTS
    }
    with torch.device("meta"):
        unet, vae = (
            kind.from_config(settings[part]) for kind, part in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae"))
        )
        text = CLIPTextModel(CLIPTextConfig(**settings["text_encoder"]))
    parts = [dict(one.named_parameters()) for one in (unet, vae, text)]
    assert tuple(sum(value.numel() for value in one.values()) for one in parts) == counts
    original = as_ldm(*parts, settings["unet"], settings["vae"], open_clip=name == "sd-2")
    family = family_of(
        single_file.ModelFacts("x", tensors={key: tuple(value.shape) for key, value in original.items()})
    )
    assert SINGLE_FILES[family.name] == name
    converted = (
        convert_ldm_unet_checkpoint(dict(original), settings["unet"]),
        convert_ldm_vae_checkpoint(dict(original), settings["vae"]),
        text_weights(original, settings["text_encoder"]),
    )
    for made, expected in zip(converted, parts, strict=True):
        shapes = {key.removeprefix("text_model."): value.shape for key, value in made.items()}
        assert shapes == {key.removeprefix("text_model."): value.shape for key, value in expected.items()}


def test_the_vocabulary_is_clip_s(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    settings = (LAYOUTS / "sd-1/tokenizer/tokenizer_config.json").read_text()
    (tmp_path / "tokenizer_config.json").write_text(settings)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert len(json.loads((tmp_path / "vocab.json").read_text())) == 49408
