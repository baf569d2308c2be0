"""Tests of the parts of a model, and of the files of a repository that are downloaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.framework.weights.conftest import MODEL_FILES

from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto.weights.folder import files_wanted, missing_parts, parts_of


def test_half_precision_is_downloaded_where_there_is_a_choice() -> None:
    both = [name.replace(".safetensors", ".fp16.safetensors") for name in MODEL_FILES if name.endswith(".safetensors")]
    other = ["unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_pytorch_model.bin", "v1-5.safetensors"]
    wanted = files_wanted([*MODEL_FILES, *both, *other])
    assert [name for name in wanted if name.endswith(".safetensors")] == both
    plain = files_wanted([*MODEL_FILES, *other])
    assert [n for n in plain if n.endswith(".safetensors")] == [n for n in MODEL_FILES if n.endswith(".safetensors")]


def test_variants_and_pickles_are_taken_where_there_is_nothing_better() -> None:
    def weights(*names: str) -> list[str]:
        others = [name for name in MODEL_FILES if not name.startswith("unet/diff")]
        wanted = files_wanted([*others, *(f"unet/diffusion_pytorch_model{name}" for name in names)])
        return [name.removeprefix("unet/diffusion_pytorch_model") for name in wanted if name.startswith("unet/diff")]

    assert weights(".fp16_ema.safetensors", ".safetensors", ".bin") == [".fp16_ema.safetensors"]
    assert weights(".fp16_ema.safetensors", ".fp16.safetensors") == [".fp16.safetensors"]
    assert weights(".bin", ".fp16.bin", ".non_ema.bin") == [".fp16.bin"]
    assert weights(".non_ema.safetensors", ".safetensors") == [".safetensors"]
    assert weights(".bin") == [".bin"]
    shards = ["-00001-of-00002.fp16_ema.safetensors", "-00002-of-00002.fp16_ema.safetensors"]
    assert weights(*shards, ".bin") == shards


def test_sharded_weights_are_downloaded_whole() -> None:
    shards = [f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert set(shards) <= set(files_wanted([*MODEL_FILES, *shards]))


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ({"unet", "vae", "text_encoder", "text_encoder_2"}, ("unet", "vae", "text_encoder", "text_encoder_2")),
        (
            {"transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"},
            ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"),
        ),
        ({"transformer", "vae", "text_encoder", "tokenizer"}, ("transformer", "vae", "text_encoder")),
        ({"unet", "text_encoder", "watermarker"}, ("unet", "text_encoder")),
        ({"unet", "text_encoder"}, ("unet", "vae", "text_encoder")),  # what Stable Diffusion lacks is told
    ],
)
def test_the_parts_of_other_families_are_known_by_their_folders(names: set[str], parts: tuple[str, ...]) -> None:
    assert parts_of({*names, "model_index.json", "scheduler"}) == parts


def test_every_tokenizer_is_needed_and_read(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path / "model")
    shutil.copytree(folder / "text_encoder", folder / "text_encoder_2")
    assert missing_parts(folder) == ["tokenizer_2 is missing or empty"]
    shutil.copytree(folder / "tokenizer", folder / "tokenizer_2")
    assert missing_parts(folder) == []
    assert "tokenizer*/*" in files_wanted([str(path.relative_to(folder)) for path in folder.glob("*/*")])


def test_a_model_of_pixels_needs_no_image_encoder(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path / "model")
    shutil.rmtree(folder / "vae")
    assert missing_parts(folder) == ["vae/config.json is missing"]
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "IFPipeline"}), encoding="utf-8")
    assert missing_parts(folder) == []
