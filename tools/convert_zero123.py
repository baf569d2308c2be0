"""Convert an original Zero123 checkpoint (105000.ckpt, zero123-xl.ckpt, stable_zero123.ckpt) to a safetensors folder.

    python tools/convert_zero123.py zero123-xl.ckpt weights/zero123-xl
    python launch.py --config configs/zero123.yaml --profile cuda system.tasks.random.guidance.model=weights/zero123-xl

The folder name of Stable Zero123 must contain "stable": its poses follow another convention. The checkpoint is read
without executing code from it (`torch.load` with `weights_only`). If that fails because the file also contains objects
of its training program, list their types with --allow after checking what they are.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

VISION = "cond_stage_model.model.visual."
IMAGE_SIZE = 256
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
RENAMED = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
"""Layer parts of CLIP's vision tower: original name to name in transformers."""


def read_checkpoint(path: Path, allowed: list[str]) -> dict[str, Tensor]:
    """Load the tensors of a checkpoint.

    Args:
        allowed: `module.Type` of objects that may be created while reading.

    Raises:
        SystemExit: the file contains other objects; names them.
    """
    types = [getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in allowed]
    try:
        with torch.serialization.safe_globals(types):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SystemExit(f"{path} is not read, as it would run code: {error}\nSee --allow.") from error
    return loaded.get("state_dict", loaded)


def vision_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of CLIP's vision tower to those of transformers; `state` has original names without prefix."""
    found = {
        "vision_model.embeddings.class_embedding": state["class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "visual_projection.weight": state["proj"].T.contiguous(),
    }
    for ours, theirs in (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")):
        for kind in ("weight", "bias"):
            found[f"vision_model.{ours}.{kind}"] = state[f"{theirs}.{kind}"]
    for name, value in state.items():
        if not name.startswith("transformer.resblocks."):
            continue
        number, _, rest = name.removeprefix("transformer.resblocks.").partition(".")
        layer = f"vision_model.encoder.layers.{number}"
        if rest.startswith("attn.in_proj_"):
            kind = rest.removeprefix("attn.in_proj_")
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                found[f"{layer}.self_attn.{letter}_proj.{kind}"] = part.contiguous()
        else:
            part, _, kind = rest.rpartition(".")
            found[f"{layer}.{RENAMED[part]}.{kind}"] = value
    return found


def vision_config(state: Mapping[str, Tensor]) -> CLIPVisionConfig:
    """Derive the config of a vision tower from its weights, assuming attention heads of width 64."""
    width, patch = state["conv1.weight"].shape[0], state["conv1.weight"].shape[-1]
    layers = {name.split(".")[2] for name in state if name.startswith("transformer.resblocks.")}
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // 64),
        image_size=round((len(state["positional_embedding"]) - 1) ** 0.5) * patch,
        patch_size=patch,
        projection_dim=state["proj"].shape[1],
    )


def build_unet(state: dict[str, Tensor]) -> UNet2DConditionModel:
    """Build Stable Diffusion 1.x's denoiser with 8 input channels, with EMA weights if the file has them."""
    unet = UNet2DConditionModel(sample_size=IMAGE_SIZE // 8, in_channels=8, cross_attention_dim=768)
    averaged = any(name.startswith("model_ema.") for name in state)
    unet.load_state_dict(convert_ldm_unet_checkpoint(state, dict(unet.config), extract_ema=averaged))
    return unet


def build_vae(state: dict[str, Tensor]) -> AutoencoderKL:
    """Build Stable Diffusion 1.x's autoencoder."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=IMAGE_SIZE,
    )  # fmt: skip
    vae.load_state_dict(convert_ldm_vae_checkpoint(state, dict(vae.config)))
    return vae


def build_image_encoder(state: dict[str, Tensor]) -> CLIPVisionModelWithProjection:
    """Build CLIP's vision tower."""
    visual = {name.removeprefix(VISION): value for name, value in state.items() if name.startswith(VISION)}
    encoder = CLIPVisionModelWithProjection(vision_config(visual))
    encoder.load_state_dict(vision_weights(visual), strict=False)  # position ids may be a buffer
    return encoder


def write(folder: Path, state: dict[str, Tensor]) -> None:
    """Write all parts in half precision, atomically."""
    fresh = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name, build in (("unet", build_unet), ("vae", build_vae), ("image_encoder", build_image_encoder)):
        build(state).half().save_pretrained(fresh / name)
    projection = {f"proj.{kind}": state[f"cc_projection.{kind}"].half() for kind in ("weight", "bias")}
    (fresh / "clip_camera_projection").mkdir()
    save_file(projection, fresh / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    scheduler.save_pretrained(fresh / "scheduler")
    facts = {
        "clip_camera_projection/config.json": {"_class_name": "CLIPCameraProjection", "embedding_dim": 768},
        "feature_extractor/preprocessor_config.json": {"image_mean": CLIP_MEAN, "image_std": CLIP_STD},
        "model_index.json": {"_class_name": "Zero123Pipeline"},
    }
    for name, values in facts.items():
        (fresh / name).parent.mkdir(exist_ok=True)
        (fresh / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    fresh.replace(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="to be made")
    parser.add_argument("--allow", nargs="*", default=[], metavar="MODULE.TYPE", help="types that the file may hold")
    args = parser.parse_args()
    if args.folder.exists():
        raise SystemExit(f"{args.folder} is there already")
    state = read_checkpoint(args.checkpoint, args.allow)
    if "cc_projection.weight" not in state:
        raise SystemExit(f"{args.checkpoint} has no cc_projection: it is no Zero123 checkpoint")
    write(args.folder, state)
    print(f"wrote {args.folder}")


if __name__ == "__main__":
    main()
