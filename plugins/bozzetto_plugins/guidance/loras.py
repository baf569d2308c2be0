"""LoRAs of a guidance: merged into its frozen networks as these are loaded.

A merged network costs nothing more in a step, and an adapter that a score trains (`adapter`) comes on top of it: the
teacher of variational score distillation has the LoRAs, its student the LoRAs and the adapter.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from bozzetto.errors import ModelError
from bozzetto.files import sha256_of
from bozzetto_plugins.guidance.lora_config import LoraConfig
from bozzetto_plugins.guidance.lora_files import LoraFile, LowRank, read_lora

TEXT_MODEL = "text_model."
"""Prefix of the text encoder's layers in files."""


class Loras:
    """LoRAs with their scales.

    Raises:
        ModelError: a file cannot be read.
    """

    def __init__(self, configs: Sequence[LoraConfig]) -> None:
        self.files: list[tuple[LoraFile, float]] = [
            (read_lora(Path(config.file).expanduser()), config.scale) for config in configs
        ]

    @cached_property
    def text_id(self) -> str:
        """Digest of what changes the text encoder; empty if nothing does."""
        told = [(sha256_of(file.path), scale) for file, scale in self.files if file.text_encoder and scale]
        return hashlib.sha256(repr(told).encode()).hexdigest() if told else ""

    def merge_into_denoiser(self, network: nn.Module) -> None:
        """Change the weights of the denoiser."""
        for_layers = [(file.path, file.unet, scale) for file, scale in self.files]
        _merge(network, for_layers, "denoiser", "")

    def merge_into_text_encoder(self, network: nn.Module) -> None:
        """Change the weights of the text encoder, whose layers have no prefix `text_model.`."""
        for_layers = [(file.path, file.text_encoder, scale) for file, scale in self.files]
        _merge(network, for_layers, "text encoder", TEXT_MODEL)


@torch.no_grad()
def _merge(
    network: nn.Module, files: Sequence[tuple[Path, Mapping[str, LowRank], float]], what: str, prefix: str
) -> None:
    """Add the scaled changes of all files to the weights; each weight is rounded once.

    Raises:
        ModelError: the network has no such layer, or one of another shape.
    """
    layers = {name: module for name, module in network.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))}
    named = {
        **{f"{prefix}{name}".replace(".", "_"): name for name in layers},
        **{prefix + name: name for name in layers},
    }
    total: dict[str, Tensor] = {}
    read: dict[str, set[Path]] = defaultdict(set)
    for path, changes, scale in files:
        for layer, change in changes.items():
            name = named.get(layer) or named.get(prefix + layer)
            if name is None:
                raise ModelError(
                    f"loras: {path} changes {layer}, and the {what} has no such layer. It is of another model."
                )
            weight = layers[name].weight
            added = change.change()
            if added.numel() != weight.numel() or len(added) != len(weight):
                raise ModelError(
                    f"loras: {path} changes {layer} by a matrix of {len(added)} by {added.shape[1]}, and that of the "
                    f"{what} is {len(weight)} by {weight.numel() // len(weight)}. It is of another model."
                )
            added = scale * added.view(weight.shape)
            total[name] = total[name] + added if name in total else added
            read[name].add(path)
    for name, added in total.items():
        weight = layers[name].weight
        merged = weight.float() + added.to(weight.device)
        if not merged.isfinite().all():
            whose = " and ".join(sorted(map(str, read[name])))
            raise ModelError(f"loras: {whose} make weights of {name} that are not finite. Lower their scale.")
        weight.copy_(merged)
