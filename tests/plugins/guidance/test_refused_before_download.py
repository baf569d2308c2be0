"""Tests that models that cannot guide are refused by their settings, before weights are downloaded; no network."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
from tests.framework.weights.conftest import MODEL_FILES, FakeHub
from tests.plugins.guidance.test_family_table import NO

from bozzetto.errors import ModelError
from bozzetto.model_files import ModelFacts, ModelReader
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import SETTINGS, fetch
from bozzetto.weights.plans import plan
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig
from bozzetto_plugins.guidance.image_dream_config import ImageDreamConfig

FOLDERS = {name: case for name, case in NO.items() if case[0].settings}
READERS = [StableDiffusionConfig(), DiffusionPriorConfig(), ImageDreamConfig()]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: type(reader).__name__)
@pytest.mark.parametrize(("facts", "reason"), FOLDERS.values(), ids=FOLDERS)
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
