"""Tiny models that edit pictures, and tiny ControlNets, in diffusers' folder format."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from bozzetto.testing.fakes import tiny_stable_diffusion


def tiny_instruct_pix2pix(folder: Path) -> Path:
    """Write a random InstructPix2Pix of 16-pixel pictures, and return its folder."""
    tiny_stable_diffusion(folder, vae_levels=2)
    settings = dict(UNet2DConditionModel.from_pretrained(folder / "unet").config)
    torch.manual_seed(1)
    unet = UNet2DConditionModel.from_config({**settings, "in_channels": 8})
    unet.save_pretrained(folder / "unet")
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionInstructPix2PixPipeline"
    index["image_encoder"] = [None, None]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def tiny_controlnet(folder: Path, base: Path, seed: int | None = None) -> Path:
    """Write a ControlNet for the denoiser of a model, and return its folder.

    Args:
        seed: of what it adds; None: nothing yet, as a ControlNet begins its training.
    """
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    levels = len(AutoencoderKL.from_pretrained(base / "vae").config.block_out_channels)
    torch.manual_seed(0)
    network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8, 8)[:levels])
    if seed is not None:
        torch.manual_seed(seed)
        for name, value in network.named_parameters():
            if name.startswith(
                ("controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding.conv_out")
            ):
                torch.nn.init.normal_(value, std=0.3)
    network.save_pretrained(folder)
    return folder
