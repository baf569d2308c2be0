"""Tests that the original checkpoint's vision tower, renamed, is the same function; its code is not executed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

import convert_zero123

WIDTH, LAYERS, PATCH, SIDE, OUT = 64, 2, 4, 8, 16


class QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """Layer with the original names of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, 1, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(WIDTH, 2 * WIDTH))
        self.mlp.add_module("gelu", QuickGelu())
        self.mlp.add_module("c_proj", nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Visual(nn.Module):
    """CLIP's vision tower (Radford et al. 2021) with the parameter names of its first publication."""

    def __init__(self) -> None:
        super().__init__()
        count = (SIDE // PATCH) ** 2 + 1
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn(count, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.proj = nn.Parameter(torch.randn(WIDTH, OUT))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv1(images).flatten(2).mT
        first = self.class_embedding.expand(len(images), 1, -1)
        x = self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)
        return self.ln_post(self.transformer.resblocks(x)[:, 0]) @ self.proj


def test_the_renamed_tower_is_the_same_function() -> None:
    torch.manual_seed(0)
    original = Visual().eval()
    state = {f"{convert_zero123.VISION}{name}": value for name, value in original.state_dict().items()}
    encoder = convert_zero123.build_image_encoder(state).eval()
    assert isinstance(encoder, CLIPVisionModelWithProjection)
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(encoder(pixel_values=images).image_embeds, original(images), rtol=1e-4, atol=1e-4)


def test_no_weight_is_left_over() -> None:
    torch.manual_seed(0)
    state = Visual().state_dict()
    encoder = CLIPVisionModelWithProjection(convert_zero123.vision_config(state))
    missing, unexpected = encoder.load_state_dict(convert_zero123.vision_weights(state), strict=False)
    assert not unexpected
    assert not [name for name in missing if "position_ids" not in name]


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {}, "callbacks": Harmful()}, path, pickle_module=pickle)
    with pytest.raises(SystemExit, match="as it would run code"):
        convert_zero123.read_checkpoint(path, [])
    assert "run" not in capsys.readouterr().out


def test_the_tensors_are_found_with_and_without_a_wrapper(tmp_path: Path) -> None:
    tensors = {"cc_projection.weight": torch.ones(2)}
    for value in (tensors, {"state_dict": tensors}):
        torch.save(value, tmp_path / "a.ckpt")
        assert set(convert_zero123.read_checkpoint(tmp_path / "a.ckpt", [])) == set(tensors)
