"""Files of LoRAs: low-rank changes by layer."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from bozzetto.errors import ModelError
from bozzetto.math.low_rank import low_rank_change
from bozzetto_plugins.guidance.lora_names import Part, check_names, place_of


@dataclass
class LowRank:
    """Change of one layer's weight."""

    up: Tensor | None = None
    down: Tensor | None = None
    alpha: float | None = None

    def change(self) -> Float[Tensor, "O N"]:
        """Return the change of the weight, flattened after its first dimension."""
        assert self.up is not None and self.down is not None  # as read
        return low_rank_change(self.up, self.down, float(len(self.down)) if self.alpha is None else self.alpha)


@dataclass(frozen=True)
class LoraFile:
    """Changes of a file by the name of a layer: dotted, or as kohya writes it, with `_` for each dot."""

    path: Path
    unet: Mapping[str, LowRank] = field(default_factory=dict)
    text_encoder: Mapping[str, LowRank] = field(default_factory=dict)


def read_lora(path: Path) -> LoraFile:
    """Read a file.

    Raises:
        ModelError: it is damaged, not of a LoRA, or of a kind that cannot be merged.
    """
    check_names(path)
    found: dict[Part, dict[str, LowRank]] = {"unet": defaultdict(LowRank), "text_encoder": defaultdict(LowRank)}
    with safe_open(path, framework="pt") as file:
        settings = _settings(path, file.metadata() or {})
        for name in file.keys():  # noqa: SIM118 # not a mapping
            part, layer, kind = place_of(path, name)
            value = file.get_tensor(name)
            setattr(found[part][layer], kind, float(value) if kind == "alpha" else value)
    for part, changes in found.items():
        for layer, one in changes.items():
            if one.up is None or one.down is None or one.up.shape[1] != len(one.down):
                raise ModelError(f"loras: {path}: the two matrices of {layer} do not fit together. It is damaged.")
            if one.alpha is None:
                one.alpha = _alpha(settings, part, layer)
    if not any(found.values()):
        raise ModelError(f"loras: {path} holds no LoRA.")
    return LoraFile(path, dict(found["unet"]), dict(found["text_encoder"]))


def _settings(path: Path, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """Return peft's settings that diffusers writes into a file; empty without them."""
    try:
        values = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError as error:
        raise ModelError(f"loras: {path}: its lora_adapter_metadata is not JSON. It is damaged.") from error
    values = values if isinstance(values, Mapping) else {}
    for name, value in values.items():
        if value and name.rpartition(".")[2] in ("use_dora", "use_rslora", "lora_bias"):
            raise ModelError(f"loras: {path} has {name}, which cannot be merged here.")
    return values


def _alpha(settings: Mapping[str, Any], part: Part, layer: str) -> float | None:
    """Return the alpha of a layer by peft's settings; None: its rank."""
    patterns = settings.get(f"{part}.alpha_pattern")
    for pattern, alpha in patterns.items() if isinstance(patterns, Mapping) else ():
        if layer == pattern or layer.endswith(f".{pattern}"):
            return float(alpha)
    alpha = settings.get(f"{part}.lora_alpha")
    return None if alpha is None else float(alpha)
