"""Tests that the released folder is assembled from the trained parts, and loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bozzetto.model_faults import check_folder
from bozzetto_plugins.guidance.camera_unet import CameraUNet, zero_snr_alpha_bars
from bozzetto_plugins.guidance.clip_text import ClipText
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_priors.export import export_text_prior
from bozzetto_priors.objects import captions, thing_table
from bozzetto_priors.training import tokenizer_and_encoder, train_radiance_fields

CPU = torch.device("cpu")
BOX = torch.tensor([[-0.5] * 3, [0.5] * 3])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two things, and a text encoder that selects the second."""
    home = tmp_path_factory.mktemp("parts")
    (home / "things").mkdir()
    for seed, piece in enumerate(list(thing_table.PIECES.values())[:2]):
        solid = train_radiance_fields.Solid.new(BOX * (seed + 1), torch.Generator().manual_seed(seed))
        save_file(solid.state(), home / "things" / f"{piece.key.replace('/', '__')}.safetensors")
    torch.manual_seed(0)
    tokenizer = tokenizer_and_encoder.write_tokenizer(home / "words" / "tokenizer")
    tokenizer_and_encoder.build_text_encoder(tokenizer).save_pretrained(home / "words" / "text_encoder")
    heads = {
        "recall_thing.weight": torch.zeros(3, tokenizer_and_encoder.WIDTH), "recall_thing.bias": torch.tensor([0.0, 0.0, 1.0]),
        "recall_paint.weight": torch.zeros(4, tokenizer_and_encoder.WIDTH), "recall_paint.bias": torch.full((4,), -9.0),
    }  # fmt: skip
    save_file(heads, home / "words" / "heads.safetensors")
    return home


@pytest.fixture
def assembled(parts: Path, monkeypatch: pytest.MonkeyPatch) -> CameraUNet:
    monkeypatch.setattr(export_text_prior, "PIECES", dict(list(thing_table.PIECES.items())[:2]))
    return export_text_prior.assemble(parts / "things", parts / "words", None)


def test_rows_of_the_memory_are_the_pieces_in_order(assembled: CameraUNet) -> None:
    memory = assembled.memory
    assert len(memory.table) == 3 and not memory.occupied[0].any() and memory.occupied[1:].all()
    halves = [memory.half_side[row, 0].item() for row in (1, 2)]
    assert halves == pytest.approx([0.5 + train_radiance_fields.MARGIN, 1.0 + train_radiance_fields.MARGIN])
    assert assembled.recall(torch.zeros(1, 1, tokenizer_and_encoder.WIDTH)).thing.tolist() == [2]
    assert not assembled.refine.conv_out.weight.any(), "nothing is added before it was learned"


def test_details_are_put_in(parts: Path, assembled: CameraUNet, tmp_path: Path) -> None:
    state = assembled.refine.state_dict()
    torch.nn.init.ones_(state["conv_out.bias"])
    save_file(state, tmp_path / "refine.safetensors")
    again = export_text_prior.assemble(parts / "things", parts / "words", tmp_path)
    assert again.refine.conv_out.bias.eq(1.0).all()


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
