"""Model folders with random weights: of the published sizes for a GPU, tiny for the dry mode. Needs no network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bozzetto.testing.fakes import TEXT_WIDTH, tiny_stable_diffusion, tiny_zero123

UNET: dict[str, Any] = {
    "sample_size": 64, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}  # fmt: skip
TEXT_UNET = UNET | {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True}
"""Denoiser of Stable Diffusion 2.1-base: 866 million parameters."""
OLD_TEXT_UNET = UNET | {"cross_attention_dim": 768, "attention_head_dim": 8}
"""Denoiser of Stable Diffusion 1.5: 860 million parameters."""
PHOTO_UNET = UNET | {"cross_attention_dim": 768, "attention_head_dim": 8, "in_channels": 8, "sample_size": 32}
"""Denoiser of Zero123: 860 million parameters."""
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}  # fmt: skip


def text_model(folder: Path, full: bool, unet: Mapping[str, Any] = TEXT_UNET) -> Path:
    """Write a model that is given words, and return its folder.

    Args:
        unet: settings of the full-size denoiser.
    """
    tiny_stable_diffusion(folder)
    if full:
        from transformers import CLIPTextConfig, CLIPTextModel

        _networks(folder, unet)
        settings = json.loads((folder / "text_encoder" / "config.json").read_text(encoding="utf-8"))
        width = unet["cross_attention_dim"]
        settings |= {"hidden_size": width, "intermediate_size": width, "num_attention_heads": 16}
        shutil.rmtree(folder / "text_encoder")
        CLIPTextModel(CLIPTextConfig(**settings)).save_pretrained(folder / "text_encoder")
    return folder


def photo_model(folder: Path, full: bool) -> Path:
    """Write a model that is given a photo and a pose, and return its folder."""
    tiny_zero123(folder)
    if full:
        _networks(folder, PHOTO_UNET)
        layer = torch.nn.Linear(TEXT_WIDTH + 4, PHOTO_UNET["cross_attention_dim"])
        weights = {f"proj.{name}": value.detach().contiguous() for name, value in layer.named_parameters()}
        save_file(weights, folder / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    return folder


def _networks(folder: Path, unet: Mapping[str, Any]) -> None:
    """Replace denoiser and image encoder by random ones of full size, in half precision."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    for name, kind, settings in (("unet", UNet2DConditionModel, unet), ("vae", AutoencoderKL, VAE)):
        shutil.rmtree(folder / name)
        with torch.device("meta"):
            network = kind(**settings)
        network = network.to_empty(device="cpu").half()
        for key, value in network.named_parameters():
            fill(key, value.data)
        network.save_pretrained(folder / name, max_shard_size="20GB")


def fill(name: str, value: torch.Tensor) -> None:
    """Fill a parameter so that activations keep their size: norms with 1, biases with 0, weights by their inputs."""
    if value.ndim > 1:
        value.copy_(torch.randn(value.shape, device=value.device) * (0.7 * value[0].numel() ** -0.5))
    else:
        value.fill_(1.0 if name.endswith("weight") else 0.0)
