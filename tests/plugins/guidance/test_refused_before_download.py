"""Tests that models that cannot guide are refused by their settings, before weights are downloaded; no network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file
from tests.framework.weights.conftest import MODEL_FILES, FakeHub
from tests.plugins.guidance.test_family_table import EDITORS, NO, OTHERS, PLAIN, folder

from bozzetto.errors import ModelError
from bozzetto.model_files import ModelFacts, ModelJudge
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import SETTINGS, fetch
from bozzetto.weights.plans import plan
from bozzetto_plugins.guidance.config import StableDiffusionConfig, Zero123Config
from bozzetto_plugins.guidance.control_config import ControlJudge
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig
from bozzetto_plugins.guidance.family_table import ATTENTION, EDITING, FIRST, NEEDS, NOT_EDITING, POSED
from bozzetto_plugins.guidance.image_dream_config import ImageDreamConfig
from bozzetto_plugins.guidance.instruct_pix2pix_config import InstructPix2PixConfig

ALL_BUT_EDITING = [StableDiffusionConfig(), DiffusionPriorConfig(), ImageDreamConfig(), Zero123Config()]
READERS = [*ALL_BUT_EDITING, InstructPix2PixConfig()]
POSED_OF_WORDS = {
    "Zero123 without its layer": (folder("Zero123Pipeline"), "without clip_camera_projection or cc_projection"),
    "Zero123 without a photo": (
        folder(
            "Zero123Pipeline", unet={"in_channels": 4}, vae={"latent_channels": 4}, clip_camera_projection={}
        ),
        "its denoiser reads 4 channels, and one that is given a photo beside the noisy one reads 8",
    ),
}  # fmt: skip
"""Folders that say Zero123 and are none."""


def net(name: str = "net", **settings: Any) -> ModelFacts:
    """Return the facts of a ControlNet for Stable Diffusion 1.x; keyword arguments are other settings."""
    usual = {"_class_name": "ControlNetModel", "cross_attention_dim": 768, "conditioning_channels": 3}
    return ModelFacts(name, {"config.json": {**usual, **settings}})


NO_CONTROLS = {
    "a whole model": (folder("StableDiffusionPipeline"), "is a whole model, 'StableDiffusionPipeline'"),
    "one of FLUX": (net(_class_name="FluxControlNetModel"), "is of class 'FluxControlNetModel', not ControlNetModel"),
    "a language model": (ModelFacts("words", {"config.json": {"model_type": "bert"}}), "not ControlNetModel"),
    "one of four channels": (net(conditioning_channels=4), "sees maps of 4 channels"),
    "one of SDXL": (net(cross_attention_dim=2048), "is for SDXL"),
    "one of SDXL by its time ids": (net(addition_embed_type="text_time"), "is for SDXL"),
}  # fmt: skip
"""Models with the reason why they cannot be given as `controls`."""
CASES = {
    f"{name}, {type(reader).__name__}": (facts, reason, reader)
    for cases, readers in (
        (NO, READERS),
        ({name: (facts, EDITING) for name, facts in EDITORS.items()}, ALL_BUT_EDITING),
        ({name: (facts, f"is {name}, for the guidance diffu") for name, facts in OTHERS.items()}, ALL_BUT_EDITING[:1]),
        ({name: (facts, f"this is {POSED}: {NEEDS[POSED]}") for name, facts in PLAIN.items()}, [Zero123Config()]),
        (POSED_OF_WORDS, [Zero123Config()]),
        (NO_CONTROLS, [ControlJudge(None)]),
        ({name: (facts, NOT_EDITING) for name, facts in PLAIN.items()}, [InstructPix2PixConfig()]),
    )
    for name, (facts, reason) in cases.items()
    for reader in readers
    if facts.settings
}
"""Models with the reason of their refusal, by each guidance that cannot use them."""


@pytest.mark.parametrize(("facts", "reason", "reader"), CASES.values(), ids=CASES)
def test_only_settings_are_downloaded_of_what_cannot_guide(
    facts: ModelFacts, reason: str, reader: ModelJudge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = facts.name if "/" in facts.name else f"owner/{facts.name}"
    FakeHub(monkeypatch, tmp_path, {name: [*MODEL_FILES, "config.json", "diffusion_pytorch_model.safetensors"]})
    asked: list[list[str]] = []

    def download(repo_id: str, revision: str | None, allow_patterns: list[str], etag_timeout: float) -> str:
        asked.append(allow_patterns)
        for path, values in facts.settings.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(json.dumps(values))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr("bozzetto.weights.plans._cached", lambda repository: None)
    with pytest.raises(ModelError) as caught:
        fetch(plan(name, Catalogue({}), reader=reader))
    assert reason in str(caught.value) and asked == [SETTINGS]
    assert not any(path.suffix in (".safetensors", ".bin") for path in tmp_path.rglob("*"))


def test_what_does_not_say_what_it_is_is_not_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = FakeHub(monkeypatch, tmp_path, {"owner/mine": ["unet/diffusion_pytorch_model.safetensors", "vae/model.bin"]})
    monkeypatch.setattr("bozzetto.weights.plans._cached", lambda repository: None)
    with pytest.raises(ModelError, match="it has neither model_index.json nor config.json"):
        fetch(plan("owner/mine", Catalogue({}), reader=StableDiffusionConfig()))
    assert hub.patterns == []


def test_a_control_is_refused_by_the_settings_of_the_model_that_is_here(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": 1024, "in_channels": 4}))
    judge = ControlJudge(tmp_path)
    assert judge.family_of(net(cross_attention_dim=1024)) == "a ControlNet for Stable Diffusion 2.x"
    with pytest.raises(ModelError, match="whose cross_attention_dim is 768, and that of the model has 1024"):
        judge.family_of(net())
    assert ControlJudge(None).family_of(net()) == "a ControlNet for Stable Diffusion 1.x"


def test_a_single_network_is_named_where_a_whole_model_is_needed() -> None:
    with pytest.raises(ModelError, match="is a ControlNet and cannot guide: it is a part of a pipeline"):
        StableDiffusionConfig().family_of(net())


@pytest.mark.parametrize(("channels", "reason"), [(4, NOT_EDITING), (8, "one file of InstructPix2Pix, which is not")])
def test_a_single_file_is_refused_by_its_header_where_folders_alone_are_read(
    channels: int, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    save_file({FIRST: torch.zeros(4, channels, 3, 3), ATTENTION: torch.zeros(4, 768)}, path)
    with pytest.raises(ModelError, match=re.escape(reason)):
        plan(str(path), Catalogue({}), reader=InstructPix2PixConfig())


def test_a_pickle_is_refused_once_it_is_read(tmp_path: Path) -> None:
    tensors = {FIRST: torch.zeros(4, 8, 3, 3), ATTENTION: torch.zeros(4, 768)}
    with pytest.raises(ModelError, match="one file of InstructPix2Pix, which is not read"):
        InstructPix2PixConfig().write_model_folder(tmp_path / "mine.ckpt", tensors, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
