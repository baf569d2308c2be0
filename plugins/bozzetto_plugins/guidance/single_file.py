"""Writes the model folder of a single file in the original layout of Stable Diffusion 1.x, 2.x and XL."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from bozzetto.errors import ModelError
from bozzetto.files import write_text
from bozzetto.model_files import ModelFacts, read_settings
from bozzetto.weights.pickled import save_tensors
from bozzetto_plugins.guidance.family_table import SINGLE_FILES, UNET, family_of
from bozzetto_plugins.guidance.weights import reading

LAYOUTS = Path(__file__).absolute().parent / "single_file_layouts"
"""Settings by family, in diffusers' format: a folder each; and CLIP's merges of byte pairs, in `clip`."""
MERGES = LAYOUTS / "clip" / "merges.txt.gz"
AVERAGED = "model_ema."
"""Prefix of averaged weights."""
VELOCITY_MARKS = ("v_pred", "v-pred")
"""Tensors that mark a fine-tuned model of velocity."""
PARTS: Mapping[str, tuple[str, ...]] = {
    "the denoiser": (UNET,),
    "the image encoder": ("first_stage_model.",),
    "the text encoder": ("cond_stage_model.", "conditioner.embedders.0."),
}
"""Prefixes of the parts of a model."""
SECOND = "conditioner.embedders.1.model."
"""Prefix of SDXL's second text encoder, by which it is recognised."""


def write_model_folder(
    file: Path, tensors: Mapping[str, Tensor], folder: Path, layouts: Path | None = None,
    guidance: str = "stable-diffusion",
) -> None:  # fmt: skip
    """Write all parts in the data type of the file.

    Averaged weights are used if the file holds them. What the network predicts is read of the YAML file beside it
    (`parameterization: v`), or of a mark among the tensors; else Stable Diffusion 1.x and XL predict noise.

    Args:
        folder: empty.
        layouts: None: `LAYOUTS`.
        guidance: that is to be given the model.

    Raises:
        ModelError: the file is not of a family in `SINGLE_FILES`, a part is missing or does not fit, or it is unknown
            what the network of Stable Diffusion 2.x predicts.
    """
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    family = family_of(ModelFacts(str(file), tensors=shapes), guidance)
    layout = (layouts or LAYOUTS) / SINGLE_FILES[family.name]
    for part, prefixes in PARTS.items():
        if not any(name.startswith(prefixes) for name in tensors):
            raise ModelError(
                f"model: {file} holds no tensors of {part}. It is a part of a model: choose a file of the whole model, "
                "or make a folder of it with its other parts."
            )
    prediction = _prediction(file, tensors, family.name)
    shutil.copytree(layout, folder, dirs_exist_ok=True)
    _change(folder / "scheduler" / "scheduler_config.json", {"prediction_type": prediction})
    if any(name in tensors for name in ("ztsnr",)):
        _change(folder / "scheduler" / "scheduler_config.json", {"rescale_betas_zero_snr": True})
    if family.name == "Stable Diffusion 2.x" and prediction == "v_prediction":
        _change(folder / "unet" / "config.json", {"sample_size": 96})
    for tokenizer in folder.glob("tokenizer*"):
        if not (tokenizer / "vocab.json").is_file():
            write_vocabulary(tokenizer)
    _write_networks(dict(tensors), folder)


def _write_networks(tensors: dict[str, Tensor], folder: Path) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    parts = [part for part in _FILES if (folder / part / "config.json").is_file()]
    settings = {part: dict(read_settings(folder / part / "config.json")) for part in parts}
    averaged = sum(name.startswith(AVERAGED) for name in tensors) > 100
    made: dict[str, Callable[[], dict[str, Tensor]]] = {
        "unet": lambda: convert_ldm_unet_checkpoint(dict(tensors), settings["unet"], extract_ema=averaged),
        "vae": lambda: convert_ldm_vae_checkpoint(dict(tensors), settings["vae"]),
        "text_encoder": lambda: text_weights(tensors, settings["text_encoder"]),
        "text_encoder_2": lambda: second_text_weights(tensors, settings["text_encoder_2"]),
    }
    classes: dict[str, Any] = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
    for part in parts:
        with reading(f"The {part} of the single file", folder):
            weights = {name: value for name, value in made[part]().items() if value is not None}
            if part in classes:
                with torch.device("meta"):
                    weights = _fitted(classes[part].from_config(settings[part]), weights, part)
            save_tensors(weights, folder / part / _FILES[part])


_FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "text_encoder_2": "model.safetensors",
}


def _fitted(network: nn.Module, weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the weights that a network has.

    Raises:
        ModelError: one is missing or has another shape.
    """
    wanted = network.state_dict()
    for name, value in wanted.items():
        if name not in weights:
            raise ModelError(f"the file lacks {name} of the {part}")
        if weights[name].shape != value.shape:
            raise ModelError(f"{name} of the {part} is {tuple(weights[name].shape)}, not {tuple(value.shape)}")
    return {name: weights[name] for name in wanted}


def text_weights(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of the text encoder with the names of transformers.

    The layouts are transformers' own (1.x) and that of OpenCLIP (2.x), whose last layer is not used.

    Raises:
        ModelError: a weight is missing.
    """
    from types import SimpleNamespace

    from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint, convert_open_clip_checkpoint

    if any(name.startswith("cond_stage_model.model.") for name in tensors):
        width = SimpleNamespace(config=SimpleNamespace(hidden_size=settings["hidden_size"]))
        found = convert_open_clip_checkpoint(width, dict(tensors))
    else:
        found = convert_ldm_clip_checkpoint(dict(tensors))
    kept = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in found.items()}
    layers = settings["num_hidden_layers"]
    wanted = [f"text_model.encoder.layers.{layers - 1}.mlp.fc2.weight", "text_model.final_layer_norm.weight"]
    for name in wanted:
        if name not in kept:
            raise ModelError(f"the file lacks {name} of the text encoder")
    unused = ("position_ids", "text_projection.weight")
    return {name: kept[name] for name in _in_layers(kept, layers) if not name.endswith(unused)}


def _in_layers(names: Iterable[str], layers: int) -> Iterator[str]:
    """Yield the names of a text encoder's weights without those of further layers."""
    start = "text_model.encoder.layers."
    return (name for name in names if not name.startswith(start) or int(name.split(".")[3]) < layers)


def second_text_weights(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of SDXL's second text encoder, OpenCLIP-G, with the names of transformers.

    Raises:
        ModelError: a weight is missing.
    """
    from types import SimpleNamespace

    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    width = SimpleNamespace(config=SimpleNamespace(hidden_size=settings["hidden_size"]))
    found: dict[str, Tensor] = convert_open_clip_checkpoint(width, dict(tensors), prefix=SECOND)
    layers = settings["num_hidden_layers"]
    for name in (
        f"text_model.encoder.layers.{layers - 1}.mlp.fc2.weight",
        "text_model.final_layer_norm.weight",
        "text_projection.weight",
    ):
        if name not in found:
            raise ModelError(f"the file lacks {name} of the second text encoder")
    return {name: found[name] for name in _in_layers(found, layers) if not name.endswith("position_ids")}


def _prediction(file: Path, tensors: Mapping[str, Tensor], family: str) -> str:
    """Return what the network predicts, as diffusers calls it."""
    beside = file.with_suffix(".yaml")
    if beside.is_file():
        said = _parameterization(beside)
        if said:
            return said
    if any(name in tensors for name in VELOCITY_MARKS):
        return "v_prediction"
    if family != "Stable Diffusion 2.x":
        return "epsilon"
    raise ModelError(
        f"model: {file} is {family}, which predicts noise (512 px) or velocity (768 px), and the file does not say "
        f"which. Put {beside.name} beside it, with the line 'parameterization: v' for velocity or 'parameterization: "
        "eps' for noise."
    )


def _parameterization(path: Path) -> str:
    """Return what the YAML of an original model says; empty if it says nothing.

    Raises:
        ModelError: it is no YAML, or says something unknown.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"model: {path} cannot be read: {' '.join(str(error).split())[:200]}.") from error
    for key in ("model", "params"):
        values = values.get(key, values) if isinstance(values, Mapping) else {}
    said = values.get("parameterization") if isinstance(values, Mapping) else None
    known = {None: "", "eps": "epsilon", "v": "v_prediction"}
    if said not in known:
        raise ModelError(f"model: {path} says parameterization: {said!r:.80}; it must be eps or v.")
    return known[said]


def write_vocabulary(folder: Path) -> None:
    """Write CLIP's merges of byte pairs (Radford et al. 2021, sec. 2.4), and the vocabulary that follows."""
    merges = gzip.decompress(MERGES.read_bytes()).decode("utf-8").split("\n")
    pairs = [line for line in merges if line]
    letters = byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(pair.replace(" ", "") for pair in pairs)]
    names = [*tokens, "<|startoftext|>", "<|endoftext|>"]
    write_text(folder / "vocab.json", json.dumps({name: index for index, name in enumerate(names)}, ensure_ascii=False))
    write_text(folder / "merges.txt", "\n".join(["#version: 0.2", *pairs]) + "\n")


def byte_letters() -> list[str]:
    """Return a visible letter for each of 256 bytes, visible ones first, in the order of CLIP's vocabulary."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, visible), *(chr(256 + index) for index in range(256 - len(visible)))]


def _change(path: Path, values: Mapping[str, object]) -> None:
    write_text(path, json.dumps({**read_settings(path), **values}, indent=2) + "\n")
