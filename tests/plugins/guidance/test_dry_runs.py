"""Tests of dry runs: each recipe of a prior tells what it would load, how much, under which licence, and the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from bozzetto.cli import main
from bozzetto_plugins.models import CONTROL_MODELS, EDITING_MODELS, PRIOR_MODELS, TEXT_MODELS

CONFIGS = Path(__file__).parents[3] / "configs"
SPECS = {spec.alias: spec for spec in (*TEXT_MODELS, *PRIOR_MODELS, *EDITING_MODELS, *CONTROL_MODELS)}
LOADED = {
    "dreamfusion-sdxl": ("sdxl",), "dreamfusion-flux": ("flux.2-klein-base-4b",), "dreamfusion-if": ("deepfloyd-if",),
    "mvdream": ("mvdream",), "imagedream": ("imagedream",), "edit-ip2p": ("instruct-pix2pix",),
    "texture-controlnet": ("sd-1.5", "controlnet-normal"),
}  # fmt: skip
"""Aliases of the models that a recipe loads."""


@pytest.mark.parametrize("recipe", LOADED)
def test_a_dry_run_tells_models_sizes_licences_and_memory(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    file = CONFIGS / f"{recipe}.yaml"
    assert main(["--config", str(file), "--dry-run", "--profile", "cuda"]) == 0
    said = capsys.readouterr().out.splitlines()
    weights = [line for line in said if line.startswith("weights ")]
    assert [line.split()[1] for line in weights] == list(LOADED[recipe])
    for line, alias in zip(weights, LOADED[recipe], strict=True):
        spec = SPECS[alias]
        assert f"{spec.size_gb:.1f} GB" in line and spec.licence in line and spec.memory in line
    assert any("GiB on a GPU (weights" in line for line in said if line.startswith("  memory ")), said
    assert f"--config configs/{recipe}.yaml --dry-run" in file.read_text(encoding="utf-8"), "its header says how"
    assert list(tmp_path.iterdir()) == []
