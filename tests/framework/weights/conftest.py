"""A hub cache of its own for each test, a hub without network, model folders without tensors."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.weights.catalogue import Catalogue

MODEL_FILES = (
    "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors", "text_encoder/config.json", "text_encoder/model.safetensors",
    "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json",
)  # fmt: skip
NO_TENSORS = (2).to_bytes(8, "little") + b"{}"
"""A safetensors file without any."""


def write_model(folder: Path, without: str = "") -> Path:
    for name in MODEL_FILES:
        if name != without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(NO_TENSORS if name.endswith(".safetensors") else b"{}")
    return folder


def put_in_cache(cache: Path, repository: str, without: str = "") -> Path:
    root = cache / f"models--{repository.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    return write_model(root / "snapshots" / commit, without)


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Return the models of the installed plugins."""
    return Catalogue.of(Registry.discover(installed_sources({}), strict=True))


class FakeHub:
    """Hub that has some repositories and refuses others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, has: dict[str, list[str]]) -> None:
        self.asked: list[str] = []
        self.patterns: list[str] = []
        self.revisions: list[str | None] = []

        class Api:
            def model_info(_, repo_id: str, revision: str | None, timeout: float) -> object:
                assert 0 < timeout <= 30
                self.asked.append(repo_id)
                if repo_id not in has:
                    raise ConnectionError(f"no route to {repo_id}\nsecond line")
                return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in has[repo_id]], sha="abc")

        def download(repo_id: str, revision: str | None, allow_patterns: list[str], etag_timeout: float) -> str:
            self.patterns, self.revisions = list(allow_patterns), [*self.revisions, revision]
            return str(write_model(folder))

        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
