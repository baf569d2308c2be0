"""Assemble the trained parts into a folder that diffusers loads.

tools/priors export-text-prior --things RUN/things --words RUN/words --details RUN/details --out PRIOR
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from transformers import CLIPTextModel, CLIPTokenizer

from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_plugins.priors.patch_codec import PatchCodec
from bozzetto_priors.command_line import step_parser
from bozzetto_priors.export.assembled_denoiser import assemble
from bozzetto_priors.export.release_folder import MOST_BYTES, noise_schedule, rewritten
from bozzetto_priors.objects.captions import COLORS
from bozzetto_priors.objects.thing_table import PIECES, SYNONYMS

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
    "unet": ["bozzetto_plugins.priors.camera_unet", "CameraUNet"],
    "vae": ["bozzetto_plugins.priors.patch_codec", "PatchCodec"],
}


def card() -> dict[str, object]:
    """Return the model card that the framework shows to users; `objects` are names, phrases and their synonyms."""
    return {
        "name": "bozzetto-mini",
        "objects": [*PIECES, *SYNONYMS],
        "synonyms": SYNONYMS,
        "colors": list(COLORS),
        "views": [],
        "image_size": 128,
        "camera": {"elevation_deg": [-15, 85]},
        "caption": "a [COLOR] NAME",
        "cfg_scale": 1.0,
    }


def export(folder: Path, unet: CameraUNet, words: Path) -> None:
    """Write half-precision weights and settings into `folder`, atomically; its other files are kept."""
    with rewritten(folder, "unet", "vae", "text_encoder", "tokenizer", "scheduler", "*.svg") as fresh:
        unet.half().save_pretrained(fresh / "unet", max_shard_size=MOST_BYTES)
        PatchCodec().save_pretrained(fresh / "vae")
        encoder = CLIPTextModel.from_pretrained(words / "text_encoder").half()
        encoder.save_pretrained(fresh / "text_encoder")
        CLIPTokenizer.from_pretrained(words / "tokenizer").save_pretrained(fresh / "tokenizer")
        noise_schedule().save_pretrained(fresh / "scheduler")
        write_texts(fresh)


def write_texts(folder: Path) -> None:
    """Write index and card, and remove local paths from the configs.

    transformers loads a model in the dtype of its config, diffusers always in float32; the configs make both agree.
    """
    for name in ("vae", "unet", "text_encoder"):
        config = folder / name / "config.json"
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings.pop("_name_or_path", None)
        if name == "text_encoder":
            settings.pop("torch_dtype", None)
            settings["dtype"] = "float32"
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n", encoding="utf-8")
    (folder / "bozzetto.json").write_text(json.dumps(card(), indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("export-text-prior", __doc__)
    parser.add_argument("--things", type=Path, required=True)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--details", type=Path, help="without: drafts only")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    export(args.out, assemble(args.things, args.words, args.details), args.words)
