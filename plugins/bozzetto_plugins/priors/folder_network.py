"""Loads a network from a model folder in diffusers' format without diffusers, whose import takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import load_file
from torch import nn

from bozzetto.model_files import read_settings
from bozzetto.weights.folder import weights_in

CONFIG = "config.json"


class FolderNetwork(nn.Module):
    """Network with settings. Its class methods have the names and arguments of diffusers' `ModelMixin`."""

    SETTINGS: ClassVar[type]
    """Dataclass of the settings in `config.json`."""

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.config = settings

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> Self:
        """Build the network with fresh weights; unknown settings are ignored."""
        return cls(cls.SETTINGS(**{one.name: values[one.name] for one in fields(cls.SETTINGS) if one.name in values}))

    @classmethod
    def from_pretrained(
        cls,
        folder: Path,
        torch_dtype: torch.dtype | None = None,
        variant: str | None = None,
        use_safetensors: bool = True,
        local_files_only: bool = True,
        low_cpu_mem_usage: bool = False,
        output_loading_info: bool = False,
    ) -> Self | tuple[Self, dict[str, Any]]:
        """Build the network with the weights of a folder; all arguments not named below are ignored.

        Args:
            torch_dtype: data type of the weights; None: float32.
            output_loading_info: return the names of missing, mismatched and unexpected weights, too.

        Raises:
            FileNotFoundError: the folder has no safetensors weights.
        """
        files = weights_in(folder)
        if not files:
            raise FileNotFoundError(f"{folder} has no .safetensors weights")
        network = cls.from_config(read_settings(folder / CONFIG))
        held = {name: value for file in files for name, value in load_file(file).items()}
        wanted = network.state_dict()
        other = [name for name, value in wanted.items() if name in held and held[name].shape != value.shape]
        found = network.load_state_dict({name: held[name] for name in held if name not in other}, strict=False)
        network.to(torch_dtype or torch.float32)
        facts = {
            "missing_keys": [name for name in found.missing_keys if name not in other],
            "mismatched_keys": [(name, held[name].shape, wanted[name].shape) for name in other],
            "unexpected_keys": found.unexpected_keys,
        }
        return (network, facts) if output_loading_info else network
