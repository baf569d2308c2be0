"""Tests of models that a component judges before they are downloaded, and of single files; no network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.framework.weights.conftest import MODEL_FILES, FakeHub, put_in_cache, write_model

from bozzetto.errors import ModelError
from bozzetto.model_files import ModelFacts, ModelReader, facts_of
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import SETTINGS, fetch
from bozzetto.weights.plans import plan

NONE = Catalogue({})


@dataclass
class Reader:
    """Config that refuses what is called video, and copies single files."""

    asked: list[ModelFacts] = field(default_factory=list)
    written: int = 0

    def family_of(self, facts: ModelFacts) -> str:
        self.asked.append(facts)
        if facts.setting("model_index.json", "_class_name") == "VideoPipeline" or "video.weight" in facts.tensors:
            raise ModelError(f"model: {facts.name} makes videos.")
        return "tiny"

    def write_model_folder(self, file: Path, tensors: Mapping[str, Any], folder: Path) -> None:
        self.written += 1
        write_model(folder)
        save_file(dict(tensors), folder / "unet" / "diffusion_pytorch_model.safetensors")


def index(folder: Path, pipeline: str) -> Path:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    return folder


def test_a_reader_is_recognised_by_its_methods() -> None:
    assert isinstance(Reader(), ModelReader) and not isinstance(ModelFacts("x"), ModelReader)


def test_a_folder_is_judged_before_it_is_found_incomplete(tmp_path: Path) -> None:
    folder = index(write_model(tmp_path / "mine", without="unet/config.json"), "VideoPipeline")
    with pytest.raises(ModelError, match="makes videos"):
        plan(str(folder), NONE, reader=Reader())
    with pytest.raises(ModelError, match="unet/config.json is missing"):
        plan(str(folder), NONE)
    assert facts_of("x", folder).settings.keys() >= {"model_index.json", "scheduler/scheduler_config.json"}


def test_a_cached_model_is_judged(empty_cache: Path) -> None:
    folder = put_in_cache(empty_cache, "a/b")
    assert plan("a/b", NONE, reader=Reader()).folder == folder
    index(folder, "VideoPipeline")
    with pytest.raises(ModelError, match="a/b makes videos"):
        plan("a/b", NONE, offline=True, reader=Reader())


@pytest.mark.parametrize("pipeline", ["VideoPipeline", "StillPipeline"])
def test_settings_are_downloaded_and_judged_before_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pipeline: str
) -> None:
    hub = FakeHub(monkeypatch, tmp_path / "got", {"a/b": list(MODEL_FILES)})
    patterns = []

    def download(repo_id: str, revision: str | None, allow_patterns: list[str], etag_timeout: float) -> str:
        patterns.append(allow_patterns)
        return str(index(write_model(tmp_path / "got"), pipeline))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr("bozzetto.weights.plans._cached", lambda repository: None)
    found = plan("a/b@v1", NONE, reader=Reader())
    if pipeline == "VideoPipeline":
        with pytest.raises(ModelError, match=r"^model: a/b@v1 makes videos\.$"):
            fetch(found)
        assert patterns == [SETTINGS]
    else:
        assert fetch(found) == tmp_path / "got" and len(patterns) == 2
        assert "unet/diffusion_pytorch_model.safetensors" in patterns[1]
    assert hub.asked == ["a/b"]


def test_a_gated_repository_says_how_to_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan("a/b", NONE, reader=Reader())

    class GatedRepoError(Exception):
        pass

    class Api:
        def model_info(self, repo_id: str, revision: str | None, timeout: float) -> object:
            raise GatedRepoError("401 Client Error")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(ModelError, match=r"a/b: its owner asks for consent\. .* give it to: hf auth login"):
        fetch(found)


def test_a_single_file_is_converted_once_and_again_when_it_changes(tmp_path: Path) -> None:
    file, reader = tmp_path / "style.safetensors", Reader()
    save_file({"weight": torch.ones(2)}, file)
    folder = fetch(plan(str(file), NONE, offline=True, reader=reader))
    assert folder == fetch(plan(str(file), NONE, reader=reader)) == tmp_path / "style-diffusers"
    assert reader.written == 1 and reader.asked[0].tensors == {"weight": (2,)}
    save_file({"weight": torch.zeros(2)}, file)
    os.utime(file, ns=(1, 1))
    changed = plan(str(file), NONE, reader=reader)
    assert changed.folder is None and fetch(changed) == folder and reader.written == 2
    stored = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")["weight"]
    assert torch.equal(stored, torch.zeros(2))
    assert not [path for path in tmp_path.iterdir() if path.name not in ("style.safetensors", "style-diffusers")]


def test_a_header_is_judged_before_the_file_is_read(tmp_path: Path) -> None:
    file, reader = tmp_path / "clip.safetensors", Reader()
    save_file({"video.weight": torch.ones(2)}, file)
    with pytest.raises(ModelError, match="makes videos"):
        plan(str(file), NONE, reader=reader)
    file.write_bytes(b"not a header")
    with pytest.raises(ModelError, match="cut short or no safetensors file"):
        plan(str(file), NONE, reader=reader)
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="quantised weights"):
        plan(str(tmp_path / "a.gguf"), NONE, reader=reader)


def test_a_pickle_of_tensors_is_read_and_nothing_else(tmp_path: Path) -> None:
    reader = Reader()
    torch.save({"state_dict": {"weight": torch.ones(2)}, "global_step": 3}, tmp_path / "a.ckpt")
    assert fetch(plan(str(tmp_path / "a.ckpt"), NONE, reader=reader)) == tmp_path / "a-diffusers"
    torch.save({"weight": torch.ones(2), "reader": Reader}, tmp_path / "b.bin")
    with pytest.raises(ModelError, match="is not a plain weight file and is rejected"):
        fetch(plan(str(tmp_path / "b.bin"), NONE, reader=reader))
    assert reader.written == 1 and not (tmp_path / "b-diffusers").exists()
