"""Tests that the denoiser is assembled from the trained parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_priors.export import assembled_denoiser
from bozzetto_priors.training import tokenizer_and_encoder, train_radiance_fields


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
    again = assembled_denoiser.assemble(parts / "things", parts / "words", tmp_path)
    assert again.refine.conv_out.bias.eq(1.0).all()
