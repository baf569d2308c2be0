"""Names of the tensors in files of LoRAs, in the key layouts of kohya, diffusers and peft. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from bozzetto.errors import ModelError
from bozzetto.weights.faults import check_header, read_metadata
from bozzetto_plugins.guidance.family_table import DISTILLED, distilled_word

Part = Literal["unet", "text_encoder"]

NAMED_ALIKE = ("pytorch_lora_weights", "adapter_model", "lora")
"""Names of files that say nothing: the folder's does."""
TITLES = ("modelspec.title", "ss_output_name")
"""Metadata that name a LoRA, as kohya's scripts write them."""

UNREADABLE: Mapping[str, str] = {
    "dora_scale": "DoRA", "lora_magnitude_vector": "DoRA", "hada_w": "LoHa", "lokr_w": "LoKr", "lora_mid": "CP-LoRA",
    ".diff": "full differences", "oft_": "OFT", "lora_te2_": "of SDXL", "text_encoder_2.": "of SDXL",
    "lora_unet_input_blocks": "of SDXL", "lora_unet_double_blocks": "of FLUX", "transformer.": "of a transformer model",
}  # fmt: skip
"""Signs in the names of tensors of what cannot be merged here, and what it is."""
KOHYA = re.compile(r"lora_(?P<part>unet|te1|te)_(?P<layer>[^.]+)\.(?P<kind>lora_down\.weight|lora_up\.weight|alpha)")
ENDS: Mapping[str, str] = {
    ".lora_A.weight": "down", ".lora_A.default.weight": "down", ".lora_B.weight": "up", ".lora_B.default.weight": "up",
    ".lora.down.weight": "down", ".lora.up.weight": "up", "_lora.down.weight": "down", "_lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down", ".lora_linear_layer.up.weight": "up", ".lora_down.weight": "down",
    ".lora_up.weight": "up", ".alpha": "alpha",
}  # fmt: skip
"""Ends of names in the layouts of diffusers and peft."""
STARTS: Mapping[str, Part] = {
    "base_model.model.unet.": "unet", "base_model.model.text_encoder.": "text_encoder", "base_model.model.": "unet",
    "unet.": "unet", "text_encoder.": "text_encoder",
}  # fmt: skip


def check_names(path: Path) -> None:
    """Check by the header that a file holds a LoRA that can be merged.

    Raises:
        ModelError: it does not; the message starts with `loras: `.
    """
    if path.suffix != ".safetensors":
        raise ModelError(f"loras: {path} is no .safetensors file. Pickles may run code: ask for its safetensors.")
    _refuse_distilled(path)
    for name in check_header(path):
        place_of(path, name)


def _refuse_distilled(path: Path) -> None:
    """Raise `ModelError` if its name, that of its folder where all are called alike, or its metadata says distilled."""
    names = {"name": path.parent.name if path.stem in NAMED_ALIKE else path.stem}
    metadata = read_metadata(path)
    for where, name in {**names, **{key: metadata.get(key, "") for key in TITLES}}.items():
        if word := distilled_word(name):
            raise ModelError(
                f"loras: {path} is a LoRA that distils a model to few steps, and cannot guide: {DISTILLED} (its "
                f"{where} says {word!r}; give a LoRA that does not distil another name). Choose another LoRA."
            )


def place_of(path: Path, name: str) -> tuple[Part, str, str]:
    """Return the part of the model, the layer, and `up`, `down` or `alpha`, that a tensor is of."""
    for sign, what in UNREADABLE.items():
        if sign in name and not (sign == "transformer." and ".transformer." in name):
            raise ModelError(
                f"loras: {path} is {what} ({name:.80}). LoRAs of Stable Diffusion 1.x and 2.x can be merged, of linear "
                "layers and convolutions."
            )
    if match := KOHYA.fullmatch(name):
        kind = {"lora_down.weight": "down", "lora_up.weight": "up"}.get(match["kind"], "alpha")
        return ("unet" if match["part"] == "unet" else "text_encoder"), match["layer"], kind
    part: Part = "unet"
    for start, of in STARTS.items():
        if name.startswith(start):
            part, name = of, name.removeprefix(start)
            break
    layer = name.replace(".processor.", ".")
    for end, kind in ENDS.items():
        if layer.endswith(end):
            layer = layer.removesuffix(end)
            return part, f"{layer}.0" if layer.endswith(".to_out") else layer, kind
    raise ModelError(
        f"loras: {path} holds {name:.80}, which is in no layout of kohya, diffusers or peft. It is no LoRA."
    )
