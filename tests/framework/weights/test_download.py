"""Tests of downloads: mirrors, and what is told when none answers; no network."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
from tests.framework.weights.conftest import MODEL_FILES, FakeHub, write_model

from bozzetto.errors import ModelError
from bozzetto.spec import ModelEntry, ModelSpec
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import fetch
from bozzetto.weights.folder import missing_parts
from bozzetto.weights.plans import ModelPlan, plan


def test_mirrors_are_tried_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = FakeHub(monkeypatch, tmp_path / "got", {"second/mirror": list(MODEL_FILES)})
    folder = fetch(ModelPlan("x", "download", None, ("first/mirror", "second/mirror@v2")))
    assert folder == tmp_path / "got"
    assert hub.asked == ["first/mirror", "second/mirror"]
    assert hub.revisions == ["v2"]


def test_when_no_mirror_answers_all_reasons_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lacking = [name for name in MODEL_FILES if "unet/diff" not in name] + ["unet/diffusion_pytorch_model.onnx"]
    spec = ModelSpec("sd-1.6", repositories=("first/mirror@v1", "second/mirror"))
    found = plan("sd-1.6", Catalogue({"sd-1.6": [ModelEntry("any", "1", spec)]}))
    FakeHub(monkeypatch, tmp_path / "got", {"second/mirror": lacking})
    with pytest.raises(ModelError) as caught:
        fetch(found)
    text = str(caught.value)
    assert "first/mirror@v1: ConnectionError: no route to first/mirror\n" in text
    assert "second/mirror: ModelError: unet has no .safetensors or .bin weights" in text
    assert "hf download first/mirror --revision v1 --local-dir FOLDER" in text


def test_a_mirror_of_pickles_is_converted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    files = [name.replace(".safetensors", ".bin") for name in MODEL_FILES]
    FakeHub(monkeypatch, tmp_path / "got", {"kxic/zero": files})
    got = tmp_path / "got"

    def download(repo_id: str, revision: str | None, allow_patterns: list[str], etag_timeout: float) -> str:
        assert "unet/diffusion_pytorch_model.bin" in allow_patterns
        write_model(got)
        for path in got.glob("*/*.safetensors"):
            torch.save({"weight": torch.ones(2)}, path.with_suffix(".bin"))
            path.unlink()
        return str(got)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = fetch(ModelPlan("x", "download", None, ("kxic/zero",)))
    assert torch.equal(load_file(found / "unet" / "diffusion_pytorch_model.safetensors")["weight"], torch.ones(2))
    assert missing_parts(found) == [] and not list(found.rglob("*.bin"))


def test_a_repository_that_resembles_an_alias_suggests_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, catalogue: Catalogue
) -> None:
    found = plan("x/sd-1.5", catalogue)
    FakeHub(monkeypatch, tmp_path / "got", {})
    with pytest.raises(
        ModelError, match=r"Did you mean 'sd-1.5'\?\nEither choose a bundled model: .*=bozzetto-mini or "
    ):
        fetch(found)
