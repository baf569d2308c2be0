"""Convert ImageDream's published weights (sd-v2.1-base-4view-ipmv.pt) to a safetensors folder.

    python tools/convert_imagedream.py sd-v2.1-base-4view-ipmv.pt weights/imagedream --like sd-2.1-base-folder
    python launch.py --config configs/imagedream.yaml --profile cuda \\
        system.tasks.random.guidance.model=weights/imagedream image=photo.png prompt="an owl"

The file is at https://huggingface.co/Peng-Wang/ImageDream. With --local it is sd-v2.1-base-4view-ipmv-local.pt, the
model that is shown the photo's tokens alone. The tokenizer is that of Stable Diffusion 2.1, copied from the folder
given by --like. If the file holds no OpenCLIP, its text encoder is that of the same folder, and its image encoder that
of the folder given by --image-encoder: CLIP-ViT-H-14-laion2B-s32B-b79K in transformers' format. The file is read
without executing code from it (`torch.load` with `weights_only`). No digest of the published files was found in public,
so none is pinned: that of the file is printed, and recorded in `model_index.json` of the folder. With --sha256 it must
be that one.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPVisionModel

from convert_mvdream import (
    SETTINGS,
    TEXT,
    TEXT_SETTINGS,
    UNET,
    build_text_encoder,
    build_unet,
    build_vae,
    checked_source,
    read_checkpoint,
    write_rest,
)
from convert_zero123 import vision_config, vision_weights

CLIP, VAE = "clip_model.model.", "vae_model."
VISION = f"{CLIP}visual."
TOKENS = f"{UNET}image_embed."
RESAMPLER: Mapping[str, Any] = {
    "embed_dims": 1280, "output_dims": 1024, "hidden_dims": 1024, "depth": 4, "dim_head": 64, "heads": 12,
    "num_queries": 16, "ffn_ratio": 4,
}  # fmt: skip
"""Settings of the resampler, from ImageDream's openaimodel.py and sd_v2_base_ipmv.yaml."""
RENAMED = (
    ("0.norm1.", "ln0."), ("0.norm2.", "ln1."), ("0.to_q.", "attn.to_q."), ("0.to_out.", "attn.to_out.0."),
    ("1.0.", "ff.0."), ("1.1.", "ff.1.net.0.proj."), ("1.3.", "ff.1.net.2."),
)  # fmt: skip
"""Parts of a layer of the resampler: name in the file to name in diffusers."""


def read(path: Path) -> dict[str, Tensor]:
    """Load the tensors of a checkpoint.

    Raises:
        SystemExit: the file contains other objects, or is not ImageDream's.
    """
    state = read_checkpoint(path)
    if f"{TOKENS}latents" not in state:
        raise SystemExit(f"{path} has no {TOKENS}latents: it is no checkpoint of ImageDream")
    return state


def resampler_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the resampler to those of diffusers."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if not name.startswith(TOKENS):
            continue
        name = name.removeprefix(TOKENS)
        if not name.startswith("layers."):
            found[name] = value
            continue
        layer, rest = name.split(".", 2)[1:]
        if rest.startswith("0.to_kv."):
            for letter, part in zip("kv", value.chunk(2), strict=True):
                found[f"layers.{layer}.attn.to_{letter}.weight"] = part.contiguous()
            continue
        theirs, ours = next(pair for pair in RENAMED if rest.startswith(pair[0]))
        found[f"layers.{layer}.{ours}{rest.removeprefix(theirs)}"] = value
    return found


def build_resampler(state: Mapping[str, Tensor], settings: Mapping[str, Any] = RESAMPLER) -> nn.Module:
    """Build the resampler."""
    resampler = IPAdapterPlusImageProjection(**settings)
    resampler.load_state_dict(resampler_weights(state))
    return resampler


def attention_weights(state: Mapping[str, Tensor], unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """Return the layers that attend to the photo, by their names in the denoiser of the guidance.

    The file has them beside `to_k`, whose converted name is known: each is found by the attention whose `to_k` is its
    neighbour's.
    """
    by_weights = {
        (value.data_ptr(), value.shape): name.removesuffix(".to_k.weight")
        for name, value in unet.state_dict().items()
        if name.endswith("attn2.to_k.weight")
    }
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith(UNET) and name.endswith("attn2.to_k.weight"):
            ours, theirs = by_weights[(value.data_ptr(), value.shape)], name.removesuffix("to_k.weight")
            for key in ("to_k_ip", "to_v_ip"):
                found[f"{ours}.processor.{key}.weight"] = state[f"{theirs}{key}.weight"]
    return found


def build_image_encoder(state: Mapping[str, Tensor]) -> CLIPVisionModel:
    """Build OpenCLIP-H's vision tower."""
    visual = {name.removeprefix(VISION): value for name, value in state.items() if name.startswith(VISION)}
    config = vision_config(visual)
    if config.hidden_size == 1280:
        config.num_attention_heads = 16  # of width 80 in ViT-H
    config.hidden_act = "gelu"
    encoder = CLIPVisionModel(config)
    bare = not any(name.startswith("vision_model.") for name in encoder.state_dict())
    named = {name.removeprefix("vision_model.") if bare else name: v for name, v in vision_weights(visual).items()}
    known = set(encoder.state_dict())
    encoder.load_state_dict({name: value for name, value in named.items() if name in known}, strict=False)
    return encoder


def build_parts(state: Mapping[str, Tensor], like: Path, image_encoder: Path | None) -> dict[str, Any]:
    """Build all networks but the resampler; those that the file lacks are read of the given folders.

    Raises:
        SystemExit: the image encoder is nowhere.
    """
    renamed = {
        (name.replace(CLIP, TEXT, 1) if name.startswith(CLIP) else name.replace(VAE, "first_stage_model.", 1)): value
        for name, value in state.items()
    }
    plain = {name: value for name, value in renamed.items() if "_ip." not in name and not name.startswith(TOKENS)}
    has_text, has_vision = (
        any(name.startswith(prefix) for name in state) for prefix in (f"{CLIP}transformer.", VISION)
    )
    if not has_vision and image_encoder is None:
        raise SystemExit(
            "The file has no image encoder: give --image-encoder, a folder of CLIP-ViT-H-14-laion2B-s32B-b79K"
        )
    text: Any = (
        build_text_encoder(plain, TEXT_SETTINGS) if has_text else CLIPTextModel.from_pretrained(like / "text_encoder")
    )
    vision: Any = build_image_encoder(state) if has_vision else CLIPVisionModel.from_pretrained(image_encoder)
    unet: UNet2DConditionModel = build_unet(plain, SETTINGS)
    vae: AutoencoderKL = build_vae(plain)
    return {"unet": unet, "vae": vae, "text_encoder": text, "image_encoder": vision}


def write(
    folder: Path,
    state: Mapping[str, Tensor],
    like: Path,
    image_encoder: Path | None,
    local: bool,
    source: Mapping[str, str],
) -> None:
    """Write all parts in half precision, atomically; the tokenizer is copied from the folder `like`."""
    fresh = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    parts = build_parts(state, like, image_encoder)
    shown = {f"attention.{name}": value for name, value in attention_weights(state, parts["unet"]).items()}
    shown |= {f"resampler.{name}": value for name, value in build_resampler(state, RESAMPLER).state_dict().items()}
    for name, part in parts.items():
        part.half().save_pretrained(fresh / name)
    write_rest(fresh, like, source, "ImageDreamPipeline")
    write_image_prompt(fresh / "image_prompt", shown, {**RESAMPLER, "photo_is_a_view": not local})
    fresh.replace(folder)


def write_image_prompt(folder: Path, weights: Mapping[str, Tensor], settings: Mapping[str, Any]) -> None:
    """Write the layers by which the denoiser is shown the photo, and their settings."""
    folder.mkdir(parents=True)
    halves = {name: value.half().contiguous() for name, value in weights.items()}
    save_file(halves, folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps(dict(settings), indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="to be made")
    parser.add_argument("--like", type=Path, required=True, help="folder of Stable Diffusion 2.1, for its tokenizer")
    parser.add_argument("--image-encoder", type=Path, help="folder of the image encoder, if the file has none")
    parser.add_argument("--local", action="store_true", help="the file is the model without a view of the photo")
    parser.add_argument("--sha256", help="digest that the checkpoint must have")
    args = parser.parse_args()
    if args.folder.exists():
        raise SystemExit(f"{args.folder} is there already")
    if not (args.like / "tokenizer" / "vocab.json").is_file():
        raise SystemExit(
            f"{args.like} has no tokenizer/vocab.json: give a folder of Stable Diffusion 2.1 in diffusers' format"
        )
    source = checked_source(args.checkpoint, args.sha256)
    write(args.folder, read(args.checkpoint), args.like, args.image_encoder, args.local, source)
    print(f"wrote {args.folder} from a file with the sha256 {source['sha256']}")


if __name__ == "__main__":
    main()
