"""Loads a network from a model folder in diffusers' format without diffusers, whose import takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from safetensors.torch import load_file
from torch import nn

from bozzetto.model_files import read_settings
from bozzetto.weights.folder import weights_in

CONFIG = "config.json"
Network = TypeVar("Network", bound="FolderNetwork")


class FolderNetwork(nn.Module):
    """Network with settings. Its class methods have the names and arguments of diffusers' `ModelMixin`."""

    SETTINGS: ClassVar[type]
    """Dataclass of the settings in `config.json`."""
    PREFIX: ClassVar[str] = ""
    """Prefix that the names of the weights may have."""

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.config = settings

    @classmethod
    def from_config(cls: type[Network], values: Mapping[str, Any]) -> Network:
        """Build the network with fresh weights; unknown settings are ignored."""
        return cls(cls.SETTINGS(**{one.name: values[one.name] for one in fields(cls.SETTINGS) if one.name in values}))

    @classmethod
    def from_pretrained(
        cls: type[Network],
        folder: Path,
        torch_dtype: torch.dtype | None = None,
        variant: str | None = None,
        use_safetensors: bool = True,
        local_files_only: bool = True,
        low_cpu_mem_usage: bool = False,
        output_loading_info: bool = False,
    ) -> Network | tuple[Network, dict[str, Any]]:
        """Build the network with the weights of a folder; arguments not named below are ignored.

        Args:
            torch_dtype: data type of the weights; None: float32.
            output_loading_info: return the names of missing, mismatched and unexpected weights, too.

        Raises:
            FileNotFoundError: the folder has no safetensors weights.
            ValueError: weights are missing or have another shape, and the loading info is not requested.
        """
        network, facts = cls.loaded(folder, torch_dtype or torch.float32)
        if output_loading_info:
            return network, facts
        lacking = [*facts["missing_keys"], *(name for name, *_ in facts["mismatched_keys"])]
        if lacking:
            raise ValueError(f"{folder} lacks weights of its network: {', '.join(lacking)}")
        return network

    @classmethod
    def loaded(cls: type[Network], folder: Path, dtype: torch.dtype) -> tuple[Network, dict[str, Any]]:
        """Build the network with the weights of a folder, and return diffusers' facts of loading it.

        Missing weights remain on the meta device.

        Raises:
            FileNotFoundError: the folder has no safetensors weights.
        """
        files = weights_in(folder)
        if not files:
            raise FileNotFoundError(f"{folder} has no .safetensors weights")
        with torch.device("meta"):  # random weights would only be replaced
            network = cls.from_config(read_settings(folder / CONFIG))
        held = {name.removeprefix(cls.PREFIX): value for file in files for name, value in load_file(file).items()}
        wanted = network.state_dict()
        other = [name for name, value in wanted.items() if name in held and held[name].shape != value.shape]
        fitting = {
            name: value.to(dtype) if value.is_floating_point() else value
            for name, value in held.items()
            if name not in other
        }
        found = network.load_state_dict(fitting, strict=False, assign=True)
        return network, {
            "missing_keys": [name for name in found.missing_keys if name not in other],
            "mismatched_keys": [(name, held[name].shape, wanted[name].shape) for name in other],
            "unexpected_keys": found.unexpected_keys,
        }
