"""Convert MVDream's published weights (sd-v2.1-base-4view.pt) to a safetensors folder.

    python tools/convert_mvdream.py sd-v2.1-base-4view.pt weights/mvdream --like sd-2.1-base-folder
    python launch.py --config configs/mvdream.yaml --profile cuda system.tasks.random.guidance.model=weights/mvdream

The file is at https://huggingface.co/MVDream/MVDream. It holds denoiser, image encoder and text encoder; the tokenizer
is that of Stable Diffusion 2.1, copied from the folder given by --like. The file is read without executing code from it
(`torch.load` with `weights_only`). No digest of the published file was found in public, so none is pinned: that of the
file is printed, and recorded in `model_index.json` of the folder. With --sha256 it must be that one, e.g. of a machine
that has run the weights before; the repository's page shows the digest of what it holds.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from bozzetto.files import sha256_of

UNET, TEXT = "model.diffusion_model.", "cond_stage_model.model."
CAMERA = {
    f"class_embedding.linear_{ours}.{kind}": f"{UNET}camera_embed.{theirs}.{kind}"
    for ours, theirs in ((1, 0), (2, 2))
    for kind in ("weight", "bias")
}
"""Layers that embed the camera: name in diffusers to name in the file."""
SETTINGS: Mapping[str, Any] = {
    "sample_size": 32,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 16,
}
"""Settings of the denoiser, from MVDream's sd-v2-base.yaml; the others are those of Stable Diffusion."""
TEXT_SETTINGS: Mapping[str, Any] = {
    "vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23,
    "num_attention_heads": 16, "hidden_act": "gelu", "projection_dim": 512, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
"""Settings of OpenCLIP-H without its last layer: the penultimate states, normalised, are the text."""
VAE_SETTINGS: Mapping[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4, "sample_size": 256,
    "force_upcast": False,
}  # fmt: skip
"""Settings of Stable Diffusion's autoencoder."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Load the tensors of a checkpoint.

    Raises:
        SystemExit: the file contains other objects, or is not MVDream's.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SystemExit(f"{path} is not read, as it would run code: {error}") from error
    state: dict[str, Tensor] = loaded.get("state_dict", loaded)
    if lacking := [name for name in CAMERA.values() if name not in state]:
        raise SystemExit(f"{path} has no {lacking[0]}: it is no checkpoint of MVDream")
    return state


def unet_weights(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename the weights of the denoiser to those of diffusers.

    Its attention has the names of Stable Diffusion's: only the embedding of the camera is MVDream's own.
    """
    # The class embedding is left out of the settings, as diffusers takes it from where other models have it.
    plain = {key: value for key, value in settings.items() if key != "class_embed_type"}
    found: dict[str, Tensor] = convert_ldm_unet_checkpoint(dict(state), plain)
    return {**found, **{ours: state[theirs] for ours, theirs in CAMERA.items()}}


def build_unet(state: Mapping[str, Tensor], settings: Mapping[str, Any] = SETTINGS) -> UNet2DConditionModel:
    """Build the denoiser."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**settings)
    unet.load_state_dict(unet_weights(state, dict(unet.config)), assign=True)
    return unet


def build_vae(state: Mapping[str, Tensor], settings: Mapping[str, Any] = VAE_SETTINGS) -> AutoencoderKL:
    """Build Stable Diffusion's autoencoder."""
    vae = AutoencoderKL(**settings)
    vae.load_state_dict(convert_ldm_vae_checkpoint(dict(state), dict(vae.config)))
    return vae


def build_text_encoder(state: Mapping[str, Tensor], settings: Mapping[str, Any] = TEXT_SETTINGS) -> CLIPTextModel:
    """Build OpenCLIP-H's text encoder up to its penultimate layer."""
    encoder = CLIPTextModel(CLIPTextConfig(**settings))
    known = set(encoder.state_dict())
    found = convert_open_clip_checkpoint(encoder, dict(state), prefix=TEXT)
    bare = not any(name.startswith("text_model.") for name in known)
    named = {name.removeprefix("text_model.") if bare else name: value for name, value in found.items()}
    encoder.load_state_dict({name: value for name, value in named.items() if name in known})
    return encoder


def checked_source(checkpoint: Path, sha256: str | None) -> dict[str, str]:
    """Return name and digest of a checkpoint.

    Raises:
        SystemExit: the digest is not `sha256`, if that is given.
    """
    digest = sha256_of(checkpoint)
    if sha256 is not None and sha256.lower() != digest:
        raise SystemExit(f"{checkpoint} has the digest {digest}, not {sha256}: another file, or a damaged one")
    return {"file": checkpoint.name, "sha256": digest}


def write(folder: Path, state: Mapping[str, Tensor], like: Path, source: Mapping[str, str]) -> None:
    """Write all parts in half precision, atomically; the tokenizer is copied from the folder `like`.

    Args:
        source: of `checked_source`.
    """
    fresh = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    parts: dict[str, Any] = {
        "unet": build_unet(state, SETTINGS),
        "vae": build_vae(state, VAE_SETTINGS),
        "text_encoder": build_text_encoder(state, TEXT_SETTINGS),
    }
    for name, part in parts.items():
        part.half().save_pretrained(fresh / name)
    write_rest(fresh, like, source)
    fresh.replace(folder)


def write_rest(folder: Path, like: Path, source: Mapping[str, str], pipeline: str = "MVDreamPipeline") -> None:
    """Write what is not weights: tokenizer, noise schedule, and the index, which records the source."""
    shutil.copytree(like / "tokenizer", folder / "tokenizer")
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    index = {"_class_name": pipeline, "converted_from": dict(source)}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Convert a file as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="to be made")
    parser.add_argument("--like", type=Path, required=True, help="folder of Stable Diffusion 2.1, for its tokenizer")
    parser.add_argument("--sha256", help="digest that the checkpoint must have")
    args = parser.parse_args()
    if args.folder.exists():
        raise SystemExit(f"{args.folder} is there already")
    if not (args.like / "tokenizer" / "vocab.json").is_file():
        raise SystemExit(
            f"{args.like} has no tokenizer/vocab.json: give a folder of Stable Diffusion 2.1 in diffusers' format"
        )
    source = checked_source(args.checkpoint, args.sha256)
    write(args.folder, read_checkpoint(args.checkpoint), args.like, source)
    print(f"wrote {args.folder} from a file with the sha256 {source['sha256']}")


if __name__ == "__main__":
    main()
