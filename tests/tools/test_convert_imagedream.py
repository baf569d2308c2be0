"""Tests that ImageDream's names become those of the guidance, with tiny parts, and that other files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from tests.plugins.guidance.model_families import tiny
from tests.tools.test_convert_mvdream import SMALL, original
from tests.tools.test_convert_zero123 import SIDE, Visual
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPVisionModel

import convert_imagedream
from bozzetto.weights.folder import missing_parts
from bozzetto_plugins.guidance.image_dream import ImageDream
from bozzetto_plugins.guidance.image_dream_config import ImageDreamConfig
from bozzetto_plugins.guidance.model_families.photo_attention import attend_to_photo

SIZES = {
    "embed_dims": 6, "output_dims": 10, "hidden_dims": 8, "depth": 2, "dim_head": 4, "heads": 3, "num_queries": 5,
    "ffn_ratio": 2,
}  # fmt: skip


class Attention(nn.Module):
    """A layer's attention of Open Flamingo's resampler (Alayrac et al. 2022), with the names of ImageDream's file."""

    def __init__(self) -> None:
        super().__init__()
        width, inner = SIZES["hidden_dims"], SIZES["heads"] * SIZES["dim_head"]
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, seen: Tensor, queries: Tensor) -> Tensor:
        both = torch.cat([self.norm1(seen), self.norm2(queries)], dim=1)
        split = [
            values.unflatten(-1, (SIZES["heads"], -1)).transpose(1, 2)
            for values in (self.to_q(self.norm2(queries)), *self.to_kv(both).chunk(2, dim=-1))
        ]
        weight = torch.softmax(split[0] @ split[1].mT / SIZES["dim_head"] ** 0.5, dim=-1)
        return self.to_out((weight @ split[2]).transpose(1, 2).flatten(2))


class Resampler(nn.Module):
    """The whole, by the names of the file."""

    def __init__(self) -> None:
        super().__init__()
        width = SIZES["hidden_dims"]
        self.latents = nn.Parameter(torch.randn(1, SIZES["num_queries"], width))
        self.proj_in, self.proj_out = nn.Linear(SIZES["embed_dims"], width), nn.Linear(width, SIZES["output_dims"])
        self.norm_out = nn.LayerNorm(SIZES["output_dims"])
        self.layers = nn.ModuleList(nn.ModuleList([Attention(), self.feed(width)]) for _ in range(SIZES["depth"]))

    @staticmethod
    def feed(width: int) -> nn.Module:
        inner = SIZES["ffn_ratio"] * width
        return nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, inner, bias=False), nn.GELU(), nn.Linear(inner, width, bias=False)
        )

    def forward(self, seen: Tensor) -> Tensor:
        queries, seen = self.latents.repeat(len(seen), 1, 1), self.proj_in(seen)
        for attention, feed in self.layers:
            queries = attention(seen, queries) + queries
            queries = feed(queries) + queries
        return self.norm_out(self.proj_out(queries))


def test_the_renamed_resampler_is_the_same_function() -> None:
    torch.manual_seed(0)
    theirs = Resampler()
    state = {f"{convert_imagedream.TOKENS}{name}": value for name, value in theirs.state_dict().items()}
    ours = convert_imagedream.build_resampler(state, SIZES)
    seen = torch.randn(2, 7, SIZES["embed_dims"])
    with torch.no_grad():
        torch.testing.assert_close(ours(seen), theirs(seen), rtol=0.0, atol=1e-5)


def test_the_layers_that_attend_to_the_photo_are_found_by_their_neighbours() -> None:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**SMALL)
    state = original(unet)
    expected: dict[str, Tensor] = {}
    for theirs, value in list(state.items()):
        if theirs.endswith("attn2.to_k.weight"):
            ours = next(name for name, own in unet.state_dict().items() if own is value or torch.equal(own, value))
            for key in ("to_k_ip", "to_v_ip"):
                state[theirs.replace("to_k", key)] = made = torch.randn(value.shape)
                expected[ours.replace("to_k.", f"processor.{key}.")] = made
    plain = {name: value for name, value in state.items() if "_ip." not in name}
    converted = convert_imagedream.build_unet(plain, SMALL)
    found = convert_imagedream.attention_weights(state, converted)
    assert found.keys() == expected.keys() and len(found) == 2 * 16
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    attend_to_photo(converted, 3, found)
    assert torch.equal(converted.state_dict()[next(iter(found))], next(iter(found.values())))


def test_the_vision_tower_has_the_names_of_transformers() -> None:
    torch.manual_seed(0)
    visual = Visual()
    state = {f"{convert_imagedream.VISION}{name}": value for name, value in visual.state_dict().items()}
    encoder = convert_imagedream.build_image_encoder(state).eval()
    states = encoder(torch.rand(1, 3, SIDE, SIDE), output_hidden_states=True).hidden_states
    assert states[-2].isfinite().all() and encoder.config.hidden_act == "gelu"
    loaded = {name.removeprefix("vision_model."): value for name, value in encoder.state_dict().items()}
    assert torch.equal(loaded["encoder.layers.1.mlp.fc1.weight"], visual.transformer.resblocks[1].mlp.c_fc.weight)


def test_the_published_sizes() -> None:
    """16 tokens of the resampler, and two layers in each of 16 attentions of Stable Diffusion 2.1's network."""
    with torch.device("meta"):
        resampler = IPAdapterPlusImageProjection(**convert_imagedream.RESAMPLER)
        unet = UNet2DConditionModel(**convert_imagedream.SETTINGS)
    attentions = [module.to_k.weight for name, module in unet.named_modules() if name.endswith("attn2")]
    assert len(attentions) == 16 and all(weight.shape[1] == 1024 for weight in attentions)
    assert sum(2 * weight.numel() for weight in attentions) == 2 * 1024 * (5 * 320 + 5 * 640 + 6 * 1280)
    width, inner, seen = 1024, 12 * 64, 1280
    layer = 2 * 2 * width + width * inner * 4 + 2 * width + 2 * 4 * width * width
    expected = 16 * width + seen * width + width + width * width + width + 2 * width + 4 * layer
    assert sum(parameter.numel() for parameter in resampler.parameters()) == expected


def test_other_files_are_refused(tmp_path: Path) -> None:
    names = convert_imagedream.read_checkpoint.__globals__["CAMERA"].values()
    torch.save(dict.fromkeys(names, torch.zeros(1)), tmp_path / "mvdream.pt")
    with pytest.raises(SystemExit, match="it is no checkpoint of ImageDream"):
        convert_imagedream.read(tmp_path / "mvdream.pt")
    with pytest.raises(SystemExit, match="give --image-encoder"):
        convert_imagedream.build_parts({}, tmp_path, None)


def test_the_written_folder_is_one_of_the_guidance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    like = tiny.imagedream(tmp_path / "like")
    state = original(UNet2DConditionModel(**SMALL))
    for name in [name for name in state if name.endswith("attn2.to_k.weight")]:
        state |= {name.replace("to_k", key): torch.randn(state[name].shape) for key in ("to_k_ip", "to_v_ip")}
    monkeypatch.setattr(convert_imagedream, "RESAMPLER", {**SIZES, "embed_dims": 8, "output_dims": 16})
    monkeypatch.setitem(SIZES, "embed_dims", 8)
    monkeypatch.setitem(SIZES, "output_dims", 16)
    state |= {f"{convert_imagedream.TOKENS}{name}": value for name, value in Resampler().state_dict().items()}
    parts = {
        "unet": convert_imagedream.build_unet({n: v for n, v in state.items() if "_ip." not in n}, SMALL),
        "vae": AutoencoderKL.from_pretrained(like / "vae"),
        "text_encoder": CLIPTextModel.from_pretrained(like / "text_encoder"),
        "image_encoder": CLIPVisionModel.from_pretrained(like / "image_encoder"),
    }
    monkeypatch.setattr(convert_imagedream, "build_parts", lambda *given: parts)
    convert_imagedream.write(tmp_path / "made", state, like, None, local=True, source={"file": "a.pt", "sha256": "0"})
    index = json.loads((tmp_path / "made" / "model_index.json").read_text())
    assert index == {"_class_name": "ImageDreamPipeline", "converted_from": {"file": "a.pt", "sha256": "0"}}
    assert missing_parts(tmp_path / "made") == []
    config = ImageDreamConfig(model=str(tmp_path / "made"), dtype="float32")
    config.require_weights(tmp_path / "made")
    guidance = ImageDream(config, tmp_path / "made", torch.device("cpu"))
    assert (guidance.family.photo_tokens, guidance.family.photo_views) == (5, 0)
    assert guidance.encode_text(["a ball"]).shape[1] == guidance.family.text.length + 5
