"""Tests that the released folder is replaced as a whole, and loads."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from bozzetto.weights.faults import check_folder
from bozzetto_plugins.guidance.clip_text import ClipText
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.priors.camera_denoiser import zero_snr_alpha_bars
from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_priors.export import export_text_prior
from bozzetto_priors.objects import captions, thing_table

CPU = torch.device("cpu")


def test_the_folder_is_replaced_as_a_whole_keeps_its_texts_and_loads(
    parts: Path, assembled: CameraUNet, tmp_path: Path
) -> None:
    folder = tmp_path / "prior"
    (folder / "unet").mkdir(parents=True)
    (folder / "README.md").write_text("kept")
    (folder / "unet" / "old.safetensors").write_text("gone")
    export_text_prior.export(folder, assembled, parts / "words")
    assert (folder / "README.md").read_text() == "kept" and not (folder / "unet" / "old.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["prior"]
    check_folder(folder)
    denoiser, encoder = Denoiser(folder, CPU, torch.float32), ClipText(folder, CPU, torch.float32)
    assert denoiser.reads_cameras and denoiser.image_size == (128, 128) and denoiser.text_width == encoder.width
    torch.testing.assert_close(denoiser.alpha_bars, zero_snr_alpha_bars(), rtol=0.0, atol=1e-6)
    assert denoiser.prediction == "v_prediction"
    for name in ("vae", "unet", "text_encoder"):
        settings = json.loads((folder / name / "config.json").read_text())
        assert "_name_or_path" not in settings
        assert settings.get("dtype", "float32") == "float32"
    files = [path.stat().st_size for path in folder.rglob("*.safetensors")]
    assert max(files) < 16_000_000


def test_the_card_lists_what_can_be_asked_for() -> None:
    card = export_text_prior.card()
    assert card["objects"] == [*thing_table.PIECES, *thing_table.SYNONYMS]
    assert card["colors"] == list(captions.COLORS) and card["views"] == []
