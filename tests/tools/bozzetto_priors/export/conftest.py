"""Trained parts of a text prior, and the denoiser that is assembled from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_priors.export import assembled_denoiser
from bozzetto_priors.objects.thing_table import PIECES
from bozzetto_priors.training import tokenizer_and_encoder, train_radiance_fields

BOX = torch.tensor([[-0.5] * 3, [0.5] * 3])


@pytest.fixture(scope="package")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two things, and a text encoder that selects the second."""
    home = tmp_path_factory.mktemp("parts")
    (home / "things").mkdir()
    for seed, piece in enumerate(list(PIECES.values())[:2]):
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
    monkeypatch.setattr(assembled_denoiser, "PIECES", dict(list(PIECES.items())[:2]))
    return assembled_denoiser.assemble(parts / "things", parts / "words", None)
