"""Assemble the photo prior: the text prior's memory, and the encoder that recognises its things in photos.

tools/priors export-photo-prior --prior PRIOR --encoder RUN/photos --out PHOTO_PRIOR

The folder has the layout of Zero123 for diffusers, and shares equal weight files with PRIOR if it lies beside it (key
`shared_weights` of `bozzetto.json`). The recognised thing is fitted to the photo
(`bozzetto_plugins.priors.photo_recall`), so the layer that projects embedding and pose is the identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import ResNetForImageClassification

from bozzetto import model_files
from bozzetto.files import sha256_of
from bozzetto_plugins.guidance.image_embedding import POSE_WIDTH
from bozzetto_plugins.priors.camera_denoiser import RECALLED_NUMBERS
from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_plugins.priors.patch_codec import PatchCodec
from bozzetto_plugins.priors.photo_recall import SIDES
from bozzetto_priors.command_line import step_parser
from bozzetto_priors.export.release_folder import MOST_BYTES, noise_schedule, rewritten
from bozzetto_priors.objects.thing_table import PIECES, THINGS

PROJECTION = "clip_camera_projection"
UNLIKELY = -1e4
"""Score of pieces that are not in the memory."""
INDEX = {
    "_class_name": "Zero123Pipeline",
    "_diffusers_version": "0.30.0",
    "clip_camera_projection": ["zero123", "CLIPCameraProjection"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "image_encoder": ["transformers", "ResNetForImageClassification"],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "unet": ["bozzetto_plugins.priors.camera_unet", "CameraUNet"],
    "vae": ["bozzetto_plugins.priors.patch_codec", "PatchCodec"],
}
PREPROCESSOR = {"image_processor_type": "CLIPImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def card() -> dict[str, object]:
    """Return the model card that the framework shows to users."""
    return {
        "name": "bozzetto-mini-zero123",
        "objects": [thing.name for thing in THINGS],
        "colors": [],
        "views": [],
        "image_size": 128,
        "camera": {"elevation_deg": [-15, 85]},
        "pose_convention": "zero123",
        "background": "white",
        "cfg_scale": 1.0,
    }


def told_of_photos(text: CameraUNet) -> CameraUNet:
    """Return a denoiser with the same memory, conditioned on photos."""
    width = RECALLED_NUMBERS + POSE_WIDTH
    changed = {"told": "photo", "in_channels": 2 * text.config["out_channels"], "cross_attention_dim": width}
    settings = {name: value for name, value in text.config.items() if not name.startswith("_")}
    unet = CameraUNet(**{**settings, **changed})
    kept = {name: value for name, value in text.state_dict().items() if not name.startswith("recall_")}
    unet.load_state_dict(kept)
    return unet


@torch.no_grad()
def in_order_of_memory(
    encoder: ResNetForImageClassification, learned: list[str], rows: list[str], remembered: torch.Tensor
) -> ResNetForImageClassification:
    """Reorder the encoder's scores to the rows of a memory, the first of which is empty.

    Args:
        learned: pieces in the order of the encoder's scores.
        rows: pieces of the memory, from its second row on.
        remembered: for each row of the memory, whether it is filled.
    """
    layers = encoder.classifier
    assert isinstance(layers, torch.nn.Sequential)
    last = layers[1]
    assert isinstance(last, torch.nn.Linear)
    weight, bias = (each.unflatten(0, (-1, SIDES)) for each in (last.weight, last.bias))
    size = (len(rows) + 1, SIDES)
    layer = torch.nn.Linear(last.in_features, len(remembered) * SIDES)
    new_weight, new_bias = torch.zeros(*size, last.in_features), torch.full(size, UNLIKELY)
    for row, piece in enumerate(rows, start=1):
        if piece in learned and remembered[row]:
            new_weight[row], new_bias[row] = weight[learned.index(piece)], bias[learned.index(piece)]
    layer.weight.copy_(new_weight.flatten(0, 1))
    layer.bias.copy_(new_bias.flatten())
    layers[1] = layer
    encoder.config.num_labels = encoder.config.projection_dim = layer.out_features
    return encoder


def export(folder: Path, unet: CameraUNet, encoder: ResNetForImageClassification, prior: Path | None = None) -> None:
    """Write half-precision weights and settings into `folder`, atomically; its other files are kept.

    Args:
        prior: folder of the text prior; if it lies beside `folder`, equal weight files are not written again.
    """
    parts = ("unet", "vae", "image_encoder", "feature_extractor", "scheduler", PROJECTION)
    with rewritten(folder, *parts) as fresh:
        unet.half().save_pretrained(fresh / "unet", max_shard_size=MOST_BYTES)
        PatchCodec().save_pretrained(fresh / "vae")
        encoder.half().save_pretrained(fresh / "image_encoder")
        noise_schedule().save_pretrained(fresh / "scheduler")
        _write_texts(fresh, encoder.config.num_labels)
        width = RECALLED_NUMBERS + POSE_WIDTH
        layer = {"proj.weight": torch.eye(width), "proj.bias": torch.zeros(width)}
        save_file(layer, fresh / PROJECTION / "diffusion_pytorch_model.safetensors")
        if prior is not None and prior.resolve().parent == folder.resolve().parent:
            _write(fresh / model_files.FILE, {**card(), model_files.KEY: _shared(fresh, prior)})


def _shared(fresh: Path, prior: Path) -> dict[str, str]:
    """Delete the weight files that `prior` has, too, and return where it has them, by their place."""
    found = {}
    for path in sorted(fresh.glob("*/*.safetensors")):
        place = path.relative_to(fresh).as_posix()
        if (prior / place).is_file() and sha256_of(prior / place) == sha256_of(path):
            path.unlink()
            found[place] = f"../{prior.resolve().name}/{place}"
    return found


def _write_texts(folder: Path, labels: int | None) -> None:
    """Write index, card and configs in the form that both libraries load: transformers uses the stated dtype."""
    for name in ("unet", "vae", "image_encoder"):
        config = folder / name / "config.json"
        settings = json.loads(config.read_text(encoding="utf-8"))
        for key in ("_name_or_path", "torch_dtype", "id2label", "label2id"):
            settings.pop(key, None)
        if name == "image_encoder":
            settings |= {"dtype": "float32", "num_labels": labels}
        _write(config, settings)
    _write(folder / PROJECTION / "config.json", {"_class_name": "CLIPCameraProjection"})
    _write(folder / "feature_extractor" / "preprocessor_config.json", PREPROCESSOR)
    _write(folder / "model_index.json", INDEX)
    _write(folder / model_files.FILE, card())


def _write(path: Path, values: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("export-photo-prior", __doc__)
    parser.add_argument("--prior", type=Path, required=True, help="folder of the text prior, made by export-text-prior")
    parser.add_argument("--encoder", type=Path, required=True, help="made by train-image-encoder")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    unet = told_of_photos(CameraUNet.from_pretrained(args.prior / "unet"))
    encoder = ResNetForImageClassification.from_pretrained(args.encoder / "encoder")
    learned = json.loads((args.encoder / "pieces.json").read_text(encoding="utf-8"))
    rows = [piece.key.replace("/", "__") for piece in PIECES.values()]
    export(args.out, unet, in_order_of_memory(encoder, learned, rows, unet.memory.occupied.any(dim=1)), args.prior)
