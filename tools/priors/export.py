"""Write the trained parts as a folder that diffusers' StableDiffusionPipeline loads."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from captions import COLORS, VIEWS
from objects import SYNONYMS, THINGS

CFG_SCALE = 3.0
"""The guidance scale at which samples look best."""

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.30.0",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def card(steps: int) -> dict[str, object]:
    """What the framework tells its users about the prior. `objects` are the names and the other words for them."""
    return {
        "name": "bozzetto-mini",
        "objects": [*(thing.name for thing in THINGS), *SYNONYMS],
        "synonyms": SYNONYMS,
        "colors": list(COLORS),
        "views": list(VIEWS),
        "image_size": 64,
        "camera": {
            "fov_y_deg": 40,
            "distance": [3.0, 3.4],
            "elevation_deg": [-10, 85],
            "front_deg": 90,
            "overhead_deg": 60,
        },
        "caption": "a [COLOR] NAME, VIEW view",
        "cfg_scale": CFG_SCALE,
        "trained_steps": steps,
    }


def load_as_float32(config: Path) -> None:
    """Say float32 in a transformers config whose weights are saved in half precision.

    transformers loads a model in the precision its config names, diffusers always in float32; a pipeline loaded
    without `torch_dtype` needs both to agree.
    """
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings.pop("torch_dtype", None)
    config.write_text(json.dumps({**settings, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")


def write_texts(folder: Path, steps: int) -> None:
    """The index, the card and the configs' last touches: no path of the machine the parts were made on."""
    load_as_float32(folder / "text_encoder" / "config.json")
    for name in ("vae", "unet", "text_encoder"):
        config = folder / name / "config.json"
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings.pop("_name_or_path", None)
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n", encoding="utf-8")
    (folder / "bozzetto.json").write_text(json.dumps(card(steps), indent=2) + "\n", encoding="utf-8")


def export_prior(
    folder: Path, vae: AutoencoderKL, unet: UNet2DConditionModel, text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer, scheduler: DDIMScheduler, steps: int,
) -> None:  # fmt: skip
    """Write half-precision weights and configs into `folder`, whole or not at all; other files in it are kept."""
    fresh = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    if folder.is_dir():
        shutil.copytree(folder, fresh)
    fresh.mkdir(parents=True, exist_ok=True)
    for name, part in (("vae", vae), ("unet", unet), ("text_encoder", text_encoder)):
        copy.deepcopy(part).to(torch.float16).save_pretrained(fresh / name)
    tokenizer.save_pretrained(fresh / "tokenizer")
    scheduler.save_pretrained(fresh / "scheduler")
    write_texts(fresh, steps)
    old = folder.with_name(f".{folder.name}-old")
    if folder.is_dir():
        folder.replace(old)
    fresh.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
