"""Write the trained parts in the folder format of Zero123 for diffusers: denoiser, autoencoder, image encoder, and the
linear layer `clip_camera_projection` from an image embedding and a relative pose to the one token that is attended."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn
from transformers import ResNetForImageClassification

from captions import COLORS
from export import load_as_float32
from image_encoder import MEAN, SIZE, STD
from objects import THINGS

CFG_SCALE = 3.0
"""The guidance scale of Zero123's own published sampling."""
POSES = 4
PROJECTION = "clip_camera_projection"

INDEX = {
    "_class_name": "Zero123Pipeline",
    "_diffusers_version": "0.30.0",
    "clip_camera_projection": ["zero123", "CLIPCameraProjection"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "image_encoder": ["transformers", "ResNetForImageClassification"],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"height": SIZE, "width": SIZE},
    "resample": 3,
    "do_center_crop": False,
    "crop_size": {"height": SIZE, "width": SIZE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": list(MEAN),
    "image_std": list(STD),
}


def card(keys: tuple[str, ...], held_out: tuple[str, ...], steps: int) -> dict[str, object]:
    """What the framework tells its users about the prior."""
    return {
        "name": "bozzetto-mini-zero123",
        "objects": [thing.name for thing in THINGS if set(thing.keys) & set(keys)],
        "colors": list(COLORS),
        "views": [],
        "pieces": list(keys),
        "held_out": list(held_out),
        "image_size": SIZE,
        "camera": {"fov_y_deg": 40, "distance": [3.0, 3.4], "elevation_deg": [-10, 85]},
        "pose_convention": "zero123",
        "background": "white",
        "cfg_scale": CFG_SCALE,
        "trained_steps": steps,
    }


def export_zero123(
    folder: Path, vae: AutoencoderKL, unet: UNet2DConditionModel, encoder: ResNetForImageClassification,
    projection: nn.Linear, scheduler: DDIMScheduler, facts: dict[str, object],
) -> None:  # fmt: skip
    """Write half-precision weights and configs into `folder`, whole or not at all; other files in it are kept."""
    fresh = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    if folder.is_dir():
        shutil.copytree(folder, fresh)
    fresh.mkdir(parents=True, exist_ok=True)
    for name, part in (("vae", vae), ("unet", unet), ("image_encoder", encoder)):
        copy.deepcopy(part).to(torch.float16).save_pretrained(fresh / name)
        config = fresh / name / "config.json"
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings.pop("_name_or_path", None)
        _write(config, settings)
    load_as_float32(fresh / "image_encoder" / "config.json")
    _write_projection(fresh / PROJECTION, projection)
    scheduler.save_pretrained(fresh / "scheduler")
    _write(fresh / "feature_extractor" / "preprocessor_config.json", PREPROCESSOR)
    _write(fresh / "model_index.json", INDEX)
    _write(fresh / "bozzetto.json", facts)
    old = folder.with_name(f".{folder.name}-old")
    if folder.is_dir():
        folder.replace(old)
    fresh.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write_projection(folder: Path, projection: nn.Linear) -> None:
    settings = {
        "_class_name": "CLIPCameraProjection",
        "additional_embeddings": POSES,
        "embedding_dim": projection.in_features - POSES,
    }
    _write(folder / "config.json", settings)
    weights = {f"proj.{name}": value.detach().to(torch.float16) for name, value in projection.named_parameters()}
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")


def _write(path: Path, values: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
