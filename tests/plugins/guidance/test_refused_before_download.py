"""Tests that models that cannot guide are refused by their settings, before weights are downloaded; no network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file
from tests.framework.weights.conftest import MODEL_FILES, FakeHub
from tests.plugins.guidance.test_family_table import EDITORS, NO, PLAIN

from bozzetto.errors import ModelError
from bozzetto.model_files import ModelFacts, ModelReader
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import SETTINGS, fetch
from bozzetto.weights.plans import plan
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig
from bozzetto_plugins.guidance.family_table import ATTENTION, EDITING, FIRST, NOT_EDITING
from bozzetto_plugins.guidance.image_dream_config import ImageDreamConfig
from bozzetto_plugins.guidance.instruct_pix2pix_config import InstructPix2PixConfig

OTHERS = [StableDiffusionConfig(), DiffusionPriorConfig(), ImageDreamConfig()]
READERS = [*OTHERS, InstructPix2PixConfig()]
CASES = {
    f"{name}, {type(reader).__name__}": (facts, reason, reader)
    for cases, readers in (
        (NO, READERS),
        ({name: (facts, EDITING) for name, facts in EDITORS.items()}, OTHERS),
        ({name: (facts, NOT_EDITING) for name, facts in PLAIN.items()}, [InstructPix2PixConfig()]),
    )
    for name, (facts, reason) in cases.items()
    for reader in readers
    if facts.settings
}
"""Models with the reason of their refusal, by each guidance that cannot use them."""


@pytest.mark.parametrize(("facts", "reason", "reader"), CASES.values(), ids=CASES)
def test_only_settings_are_downloaded_of_what_cannot_guide(
    facts: ModelFacts, reason: str, reader: ModelReader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = facts.name if "/" in facts.name else f"owner/{facts.name}"
    FakeHub(monkeypatch, tmp_path, {name: list(MODEL_FILES)})
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
