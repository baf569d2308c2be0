"""Layout of a model folder: its parts, and the variant of the weight files to read. Imports no torch.

A diffusion model is in diffusers' format, a folder per part. A language model is in transformers' format: one part, the
folder itself, whose name is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bozzetto.errors import ModelError
from bozzetto.model_files import read_settings, weight_files

INDEXES = ("model_index.json", "config.json")
"""Files of which a model folder has one: the former names the parts, the latter describes a model of one part."""
PARTS = ("unet", "vae", "text_encoder")
"""Folders of a text-to-image model with weights."""
TRANSFORMER = "transformer"
"""Folder of the denoiser of other text-to-image models, in place of `unet`."""
PIXEL_MARK, PIXEL_PIPELINE = "watermarker", "IFPipeline"
"""Folder and pipeline that tell a model of pixels, which has no `vae`."""
MORE_TEXT_PARTS = ("text_encoder_2", "text_encoder_3")
"""Further text encoders, of models that have them; each has a tokenizer of its own."""
POSED_PARTS = ("unet", "vae", "image_encoder")
"""Folders of an image- and pose-conditioned model (Zero123), in addition to one of `PROJECTIONS`."""
PROJECTIONS = ("clip_camera_projection", "cc_projection")
"""Names of the layer that joins image and pose, one for each of the two layouts of such models."""
IMAGE_PROMPT = "image_prompt"
"""Folder of the layers by which a text-to-image model is shown a photo, beside `image_encoder` (ImageDream)."""
LANGUAGE_PARTS = ("",)
"""Folders of a language model, or of a single network such as a ControlNet: the folder itself."""
CONFIGS = ("*.json", "*/*.json", "tokenizer*/*")
"""Patterns of all other files of a diffusion model that are read."""
LANGUAGE_CONFIGS = ("config.json", "*token*.json", "vocab.*", "merges.txt")
"""Patterns of all other files of a language model that are read."""

_WEIGHTS = re.compile(
    r"(?P<base>diffusion_pytorch_model|pytorch_model|model)(-\d{5}-of-\d{5})?(\.(?P<variant>[A-Za-z0-9_]+))?"
    r"(-\d{5}-of-\d{5})?\.(?P<format>safetensors|bin)"
)


def parts_of(names: Iterable[str], pipeline: str = "") -> tuple[str, ...]:
    """Return the folders that must contain weights, given those that exist and the model's pipeline, if known."""
    there = set(names)
    if "config.json" in there and "model_index.json" not in there:
        return LANGUAGE_PARTS
    projections = sorted(there & set(PROJECTIONS))
    if projections:
        return (*POSED_PARTS, projections[0])
    denoiser = TRANSFORMER if TRANSFORMER in there else "unet"
    of_pixels = PIXEL_MARK in there or pipeline == PIXEL_PIPELINE
    more = (part for part in MORE_TEXT_PARTS if part in there)
    shown = ("image_encoder", IMAGE_PROMPT) if IMAGE_PROMPT in there else ()
    return (denoiser, *(() if of_pixels else ("vae",)), "text_encoder", *more, *shown)


def configs_of(parts: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of the files that are read of a model with these parts, weights apart."""
    return LANGUAGE_CONFIGS if tuple(parts) == LANGUAGE_PARTS else CONFIGS


def parts_in(folder: Path) -> tuple[str, ...]:
    """Return the folders of a model folder that must contain weights."""
    if not folder.is_dir():
        return PARTS
    index = folder / "model_index.json"
    pipeline = read_settings(index).get("_class_name") if index.is_file() else None
    return parts_of((path.name for path in folder.iterdir()), str(pipeline))


def variant_of(part: Path) -> str | None:
    """Return the weight variant to read in a part's folder, e.g. `fp16` or `fp16_ema`; None: no variant."""
    return _variant([name for name in weight_files(part) if name.endswith(".safetensors")], half=False)


def weights_in(part: Path, file_format: str = "safetensors") -> list[Path]:
    """Return the weight files to read in a part's folder: all shards of one variant; empty if there are none."""
    files = {name: path for name, path in weight_files(part).items() if name.endswith(f".{file_format}")}
    return [files[name] for name in _of_variant(files, _variant([*files], half=False))]


def missing_parts(folder: Path) -> list[str]:
    """Describe the missing parts of a model folder; empty if it is complete."""
    parts = parts_in(folder)
    if parts == LANGUAGE_PARTS:
        weights = weights_in(folder) or weights_in(folder, "bin")
        if "_class_name" in _settings(folder):  # one network of diffusers, e.g. a ControlNet
            return [] if weights else ["there are no .safetensors or .bin weights"]
        tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json"))
        lacking = [] if weights else ["there are no .safetensors or .bin weights"]
        return lacking if tokenizer else [*lacking, "the tokenizer's tokenizer.json or vocab.txt is missing"]
    lacking = [] if (folder / "model_index.json").is_file() else ["model_index.json is missing"]
    for part in parts:
        if not (folder / part / "config.json").is_file():
            lacking.append(f"{part}/config.json is missing")
        elif not weights_in(folder / part) and not weights_in(folder / part, "bin"):
            lacking.append(f"{part} has no .safetensors or .bin weights")
    tokenizers = (part.replace("text_encoder", "tokenizer") for part in parts if part.startswith("text_encoder"))
    for part in ("scheduler", *tokenizers):
        if not any((folder / part).glob("*.json")):
            lacking.append(f"{part} is missing or empty")
    return lacking


def _settings(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    return read_settings(path) if path.is_file() else {}


def pickled_parts(folder: Path) -> list[str]:
    """Return the parts whose weights exist as `.bin` (torch pickles) only."""
    return [part for part in parts_in(folder) if not weights_in(folder / part)]


def files_wanted(files: Sequence[str]) -> list[str]:
    """Return the files of a repository to download, one weight variant per part, preferably fp16 safetensors.

    Raises:
        ModelError: a part has no weights.
    """
    parts = parts_of(f.partition("/")[0] for f in files)
    wanted = list(configs_of(parts))
    for part in parts:
        inside = f"{part}/" if part else ""
        names = [f.removeprefix(inside) for f in files if f.startswith(inside)]
        for file_format in ("safetensors", "bin"):
            those = [name for name in names if name.endswith(f".{file_format}") and _WEIGHTS.fullmatch(name)]
            if those:
                wanted += [f"{inside}{name}" for name in _of_variant(those, _variant(those, half=True))]
                break
        else:
            raise ModelError(f"{part or 'the repository'} has no .safetensors or .bin weights")
    return wanted


def _variant(names: Sequence[str], half: bool) -> str | None:
    """Return the variant to read; `half` prefers half precision to full precision."""
    there = set(_variants(names))

    def rank(variant: str | None) -> tuple[bool, bool, str]:
        first = variant is not None and variant.startswith("fp16") if half else variant is None
        known = variant is None or variant.startswith("fp16")
        return not first, not known, variant or ""

    return min(there, key=rank, default=None)


def _variants(names: Iterable[str]) -> Iterator[str | None]:
    for name in names:
        if match := _WEIGHTS.fullmatch(name):
            yield match["variant"]


def _of_variant(names: Iterable[str], variant: str | None) -> list[str]:
    return [name for name in names if (match := _WEIGHTS.fullmatch(name)) and match["variant"] == variant]
