"""Tests of CLIP's text transformer: that of transformers with the same weights, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from bozzetto_plugins.guidance.clip_transformer import ClipSettings, ClipTransformer

TOKENS = torch.tensor([[3, 5, 7, 2, 2, 2], [3, 9, 9, 9, 4, 2]])
MASK = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])


def folder_of(place: Path, activation: str) -> tuple[CLIPTextModel, Path]:
    torch.manual_seed(0)
    theirs = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=6, hidden_act=activation, bos_token_id=1, eos_token_id=2, pad_token_id=2,
        )
    ).eval()  # fmt: skip
    theirs.save_pretrained(place)
    return theirs, place


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("mask", [None, MASK])
def test_it_is_that_of_transformers(
    tmp_path: Path, activation: str, dtype: torch.dtype, mask: torch.Tensor | None
) -> None:
    theirs, folder = folder_of(tmp_path, activation)
    ours, facts = ClipTransformer.loaded(folder, dtype)
    assert not any(facts.values())
    with torch.no_grad():
        expected = theirs.to(dtype)(TOKENS, attention_mask=mask).last_hidden_state
        assert torch.equal(ours(TOKENS, mask), expected)


def test_names_of_earlier_files_are_known(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    _, folder = folder_of(tmp_path, "gelu")
    (file,) = folder.glob("*.safetensors")
    held = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in load_file(file).items()}
    held["text_model.embeddings.position_ids"] = torch.arange(6)[None]
    save_file(held, file)
    _, facts = ClipTransformer.loaded(folder, torch.float32)
    assert facts["missing_keys"] == [] and facts["unexpected_keys"] == ["embeddings.position_ids"]


def test_settings_that_it_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_act: must be one of quick_gelu, gelu, got 'relu'"):
        ClipSettings(hidden_act="relu")
    with pytest.raises(ValueError, match="hidden_size: must be a multiple of 5 heads"):
        ClipSettings(num_attention_heads=5)
