"""Names of tensors in the original layout of Stable Diffusion, by their names in diffusers and transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
TOP = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
CLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


def unet_name(name: str, layers: int, attended: Mapping[str, bool]) -> str:
    """Return the original name of a denoiser's tensor.

    Args:
        layers: resnets per block on the way down.
        attended: whether a block has attention, by `up_blocks.N`.
    """
    for ours, theirs in TOP.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    parts = name.split(".")
    if parts[0] == "mid_block":
        kind, index, rest = parts[1], int(parts[2]), ".".join(parts[3:])
        place = f"middle_block.{1 if kind == 'attentions' else 2 * index}"
    else:
        block, kind, index, rest = int(parts[1]), parts[2], int(parts[3]), ".".join(parts[4:])
        down = parts[0] == "down_blocks"
        first = 1 + block * (layers + 1) if down else block * (layers + 1)
        if kind == "downsamplers":
            return f"input_blocks.{first + layers}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            return f"output_blocks.{first + layers}.{2 if attended[f'up_blocks.{block}'] else 1}.{rest}"
        place = f"{'input' if down else 'output'}_blocks.{first + index}.{1 if kind == 'attentions' else 0}"
    if kind == "resnets":
        head, _, last = rest.rpartition(".")
        rest = f"{RESNET[head]}.{last}"
    return f"{place}.{rest}"


def vae_name(name: str, blocks: int) -> str:
    """Return the original name of an image encoder's tensor."""
    parts = name.split(".")
    if parts[1] == "mid_block" and parts[2] == "attentions":
        head, last = ".".join(parts[4:-1]), parts[-1]
        return f"{parts[0]}.mid.attn_1.{VAE_ATTENTION[head]}.{last}"
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if parts[1] == "mid_block":
        return name.replace(f"mid_block.resnets.{parts[3]}", f"mid.block_{int(parts[3]) + 1}")
    if parts[1] == "down_blocks":
        return (
            name.replace(f"down_blocks.{parts[2]}.resnets", f"down.{parts[2]}.block")
            .replace(f"down_blocks.{parts[2]}.downsamplers.0", f"down.{parts[2]}.downsample")
        )  # fmt: skip
    if parts[1] == "up_blocks":
        mirrored = blocks - 1 - int(parts[2])
        return (
            name.replace(f"up_blocks.{parts[2]}.resnets", f"up.{mirrored}.block")
            .replace(f"up_blocks.{parts[2]}.upsamplers.0", f"up.{mirrored}.upsample")
        )  # fmt: skip
    return name


def as_ldm(
    unet: Mapping[str, Tensor], vae: Mapping[str, Tensor], text: Mapping[str, Tensor],
    unet_settings: Mapping[str, Any], vae_settings: Mapping[str, Any], open_clip: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """Return the tensors of a whole model in the original layout: of version 2 if `open_clip`, else 1."""
    layers = unet_settings["layers_per_block"]
    attended = {f"up_blocks.{i}": "CrossAttn" in kind for i, kind in enumerate(unet_settings["up_block_types"])}
    found = {f"model.diffusion_model.{unet_name(name, layers, attended)}": value for name, value in unet.items()}
    blocks = len(vae_settings["up_block_types"])
    for name, value in vae.items():
        theirs = vae_name(name, blocks)
        square = ".mid.attn_1." in theirs and value.ndim == 2  # a convolution with a kernel of one pixel
        found[f"first_stage_model.{theirs}"] = value[:, :, None, None] if square else value
    plain = {name.removeprefix("text_model."): value for name, value in text.items()}
    return found | (_open_clip(plain) if open_clip else _clip(plain))


def _clip(text: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"cond_stage_model.transformer.text_model.{name}": value for name, value in text.items()}


def _open_clip(text: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the original names of OpenCLIP; one more layer, which is not used, follows the last."""
    top = {
        "embeddings.position_embedding.weight": "positional_embedding",
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias",
    }  # fmt: skip
    found = {theirs: text[ours] for ours, theirs in top.items()}
    count = 1 + max(int(name.split(".")[2]) for name in text if name.startswith("encoder.layers."))
    for index in range(count + 1):
        ours, theirs = f"encoder.layers.{min(index, count - 1)}", f"transformer.resblocks.{index}"
        for kind in ("weight", "bias"):
            joined = [text[f"{ours}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            found[f"{theirs}.attn.in_proj_{kind}"] = torch.cat(joined)
            found[f"{theirs}.attn.out_proj.{kind}"] = text[f"{ours}.self_attn.out_proj.{kind}"]
            for mine, its in CLIP.items():
                found[f"{theirs}.{its}.{kind}"] = text[f"{ours}.{mine}.{kind}"]
    width = len(text["final_layer_norm.weight"])
    found["text_projection"] = torch.zeros(width, width, device=text["final_layer_norm.weight"].device)
    return {f"cond_stage_model.model.{name}": value for name, value in found.items()}
