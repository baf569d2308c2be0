"""Settings of one LoRA. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bozzetto.fields import FilePath, Range, check_fields


@dataclass(frozen=True)
class LoraConfig:
    """A LoRA, a low-rank change of a model's weights (Hu et al. 2021)."""

    file: Annotated[str, FilePath()]
    """Safetensors file in the layout of kohya, diffusers or peft, of Stable Diffusion of the same version."""
    scale: Annotated[float, Range(least=-10.0, most=10.0)] = 1.0
    """Factor of the change; 0: no change."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.file.strip():
            raise ValueError("file: must name a .safetensors file")
