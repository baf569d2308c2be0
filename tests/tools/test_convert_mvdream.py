"""Tests that MVDream's names become diffusers' own, with a tiny network, and that other files are refused."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from safetensors.torch import load_file
from tests.plugins.guidance.ldm_names import vae_name
from transformers import CLIPTextConfig, CLIPTextModel

import convert_mvdream
from bozzetto.files import sha256_of
from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto.weights.folder import missing_parts
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.diffusion_prior_config import DiffusionPriorConfig

SMALL = {
    "sample_size": 8, "block_out_channels": (8, 8, 16, 16), "cross_attention_dim": 16, "attention_head_dim": 2,
    "norm_num_groups": 4, "use_linear_projection": True, "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 16,
}  # fmt: skip
ADDED = {"weight": 16 * 1280 + 1280 * 1280, "bias": 1280 + 1280}
STABLE_DIFFUSION_2 = 865_910_724
"""Parameters of Stable Diffusion 2.1's UNet, MVDream's base."""


def original(unet: UNet2DConditionModel) -> dict[str, torch.Tensor]:
    """Return the weights of a network with the names of MVDream's code."""
    blocks = {"class_embedding.linear_1": "camera_embed.0", "class_embedding.linear_2": "camera_embed.2"}
    found = {}
    for name, value in unet.state_dict().items():
        module, _, kind = name.rpartition(".")
        found[f"model.diffusion_model.{blocks.get(module) or ldm_name(module)}.{kind}"] = value
    return found


def ldm_name(module: str) -> str:
    """Return the name in the code of latent diffusion of a module of a network with four levels of two layers."""
    layers = {ours.rpartition(".")[0]: theirs for ours, theirs in DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"].items()}
    if module in layers:
        return layers[module].rpartition(".")[0]
    parts = module.split(".")
    inner = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip
    if parts[0] == "mid_block":
        place, kind = {"resnets": 2 * int(parts[2]), "attentions": 1}[parts[1]], parts[1]
        rest = parts[3:]
        return f"middle_block.{place}.{inner[rest[0]] if kind == 'resnets' else '.'.join(rest)}"
    level, kind, number, rest = int(parts[1]), parts[2], int(parts[3]), parts[4:]
    if parts[0] == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{3 * (level + 1)}.0.op"
        block = f"input_blocks.{3 * level + 1 + number}"
    else:
        has_attention = level > 0
        if kind == "upsamplers":
            return f"output_blocks.{3 * level + 2}.{2 if has_attention else 1}.conv"
        block = f"output_blocks.{3 * level + number}"
    return f"{block}.0.{inner[rest[0]]}" if kind == "resnets" else f"{block}.1.{'.'.join(rest)}"


def test_the_renamed_network_is_the_same_function() -> None:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**SMALL)
    found = convert_mvdream.build_unet(original(unet), SMALL)
    inputs = (torch.randn(2, 4, 8, 8), torch.tensor([10, 900]), torch.randn(2, 3, 16))
    cameras = torch.randn(2, 16)
    with torch.no_grad():
        expected = unet(*inputs, class_labels=cameras).sample
        assert torch.equal(found(*inputs, class_labels=cameras).sample, expected)
        assert not torch.equal(unet(*inputs, class_labels=-cameras).sample, expected)


def test_the_network_has_the_parameters_of_its_base_and_of_the_camera() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**convert_mvdream.SETTINGS)
    assert sum(parameter.numel() for parameter in unet.parameters()) == STABLE_DIFFUSION_2 + sum(ADDED.values())


def test_the_renamed_text_encoder_is_the_same_without_its_last_layer() -> None:
    """The names are those of OpenCLIP, whose attention has one matrix for query, key and value."""
    torch.manual_seed(0)
    settings = {
        **convert_mvdream.TEXT_SETTINGS, "vocab_size": 20, "hidden_size": 8, "intermediate_size": 16,
        "num_attention_heads": 2, "max_position_embeddings": 6,
    }  # fmt: skip
    encoder = CLIPTextModel(CLIPTextConfig(**settings)).eval()
    found = convert_mvdream.build_text_encoder(open_clip(encoder), settings).eval()
    tokens = torch.randint(0, 20, (2, 6))
    with torch.no_grad():
        expected, said = encoder(tokens).last_hidden_state, found(tokens).last_hidden_state
    torch.testing.assert_close(said, expected, rtol=0.0, atol=1e-5)


def open_clip(encoder: CLIPTextModel) -> dict[str, torch.Tensor]:
    """Return the weights of a text encoder with OpenCLIP's names, and one layer more."""
    prefix, width = "cond_stage_model.model.", encoder.config.hidden_size
    known = {name.removeprefix("text_model."): value for name, value in encoder.state_dict().items()}
    found = {
        f"{prefix}token_embedding.weight": known["embeddings.token_embedding.weight"],
        f"{prefix}positional_embedding": known["embeddings.position_embedding.weight"],
        f"{prefix}text_projection": torch.randn(width, width),
    }
    for kind in ("weight", "bias"):
        found[f"{prefix}ln_final.{kind}"] = known[f"final_layer_norm.{kind}"]
        for layer in range(24):
            ours, theirs = f"encoder.layers.{min(layer, 22)}", f"{prefix}transformer.resblocks.{layer}"
            parts = [known[f"{ours}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            found[f"{theirs}.attn.in_proj_{kind}"] = torch.cat(parts)
            for one, other in (
                ("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
            ):  # fmt: skip
                found[f"{theirs}.{other}.{kind}"] = known[f"{ours}.{one}.{kind}"]
    return found


def test_other_files_are_refused_and_no_code_is_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {"model.diffusion_model.time_embed.0.weight": torch.zeros(1)}}, tmp_path / "sd.pt")
    with pytest.raises(SystemExit, match="it is no checkpoint of MVDream"):
        convert_mvdream.read_checkpoint(tmp_path / "sd.pt")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(print))
    with pytest.raises(SystemExit, match="would run code"):
        convert_mvdream.read_checkpoint(tmp_path / "evil.pt")


SMALL_TEXT = {
    **convert_mvdream.TEXT_SETTINGS, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2,
    "max_position_embeddings": 32,
}  # fmt: skip
SMALL_VAE = {**convert_mvdream.VAE_SETTINGS, "block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4}


@pytest.fixture
def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that converts a tiny file with the given further words, and returns the new folder."""
    torch.manual_seed(0)
    like = tiny_stable_diffusion(tmp_path / "like")
    known = len(json.loads((like / "tokenizer" / "vocab.json").read_text()))
    settings = {"SETTINGS": SMALL, "VAE_SETTINGS": SMALL_VAE, "TEXT_SETTINGS": {**SMALL_TEXT, "vocab_size": known}}
    for name, values in settings.items():
        monkeypatch.setattr(convert_mvdream, name, values)
    vae = AutoencoderKL(**SMALL_VAE).state_dict()
    square = {name: value for name, value in vae.items() if "attentions" in name and value.ndim == 2}
    vae |= {name: value[:, :, None, None] for name, value in square.items()}
    state = original(UNet2DConditionModel(**SMALL))
    state |= {f"first_stage_model.{vae_name(name, 4)}": value for name, value in vae.items()}
    state |= open_clip(CLIPTextModel(CLIPTextConfig(**settings["TEXT_SETTINGS"])))
    torch.save({"state_dict": state}, tmp_path / "mv.pt")

    def run(*words: str) -> Path:
        given = ["convert_mvdream.py", str(tmp_path / "mv.pt"), str(tmp_path / "made"), "--like", str(like), *words]
        monkeypatch.setattr(sys, "argv", given)
        convert_mvdream.main()
        return tmp_path / "made"

    return run


def test_the_written_folder_is_one_of_the_guidance_and_records_its_source(
    convert: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = sha256_of(tmp_path / "mv.pt")
    made = convert("--sha256", digest.upper())
    assert f"from a file with the sha256 {digest}" in capsys.readouterr().out
    index = json.loads((made / "model_index.json").read_text())
    assert index == {"_class_name": "MVDreamPipeline", "converted_from": {"file": "mv.pt", "sha256": digest}}
    assert missing_parts(made) == [] and not (tmp_path / ".made-new").exists()
    weights = load_file(made / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    config = DiffusionPriorConfig(model=str(made), dtype="float32")
    config.require_weights(made)
    assert DiffusionPrior(config, made, torch.device("cpu")).encode_text(["a ball"]).isfinite().all()
    with pytest.raises(SystemExit, match="is there already"):
        convert()


def test_a_file_of_another_digest_is_refused_before_it_is_read(
    convert: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert_mvdream, "read_checkpoint", lambda path: pytest.fail("is read"))
    with pytest.raises(SystemExit, match=rf"has the digest {sha256_of(tmp_path / 'mv.pt')}, not {'0' * 64}: another"):
        convert("--sha256", "0" * 64)
    with pytest.raises(SystemExit, match=r"no tokenizer/vocab\.json"):
        convert("--like", str(tmp_path))
    assert not (tmp_path / "made").exists()
