"""Loading of one frozen network of a model."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bozzetto.model_files import read_settings, whole_part
from bozzetto_plugins.guidance.families import family_of
from bozzetto_plugins.guidance.weights import reading, require_size, require_whole, variant_of, without_bars


def load_network(path: Path, dtype: torch.dtype, kind: type[nn.Module] | None = None) -> Any:
    """Load one frozen network, of the class `kind` or that of a model's part.

    Raises:
        ModelError: it is missing or damaged.
    """
    family: Any = kind or family_of(path)
    with reading(family.__name__, path), without_bars(), whole_part(path) as whole:
        require_size(lambda: family.from_config(dict(read_settings(path / "config.json"))), path)
        network, loaded = family.from_pretrained(
            whole, torch_dtype=dtype, variant=variant_of(path), use_safetensors=True, local_files_only=True,
            low_cpu_mem_usage=find_spec("accelerate") is not None,  # avoids a warning of diffusers
            output_loading_info=True,
        )  # fmt: skip
    require_whole(loaded, family.__name__, path)
    return network.requires_grad_(False).eval()


def to_channels_last(network: nn.Module) -> None:
    """Store a network's convolution weights channels-last."""
    to: Callable[..., object] = network.to  # whose annotations lack this form
    to(memory_format=torch.channels_last)
