"""Which number format the frozen weights are kept in."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "float16", "bfloat16"]


def choose_dtype(name: Precision, device: torch.device) -> torch.dtype:
    """The format that `name` asks for; `auto` is float16 on an accelerator and `processor_dtype()` elsewhere."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    return torch.float16 if is_accelerator(device) else processor_dtype()


def is_accelerator(device: torch.device) -> bool:
    """Whether `device` has memory and speed of its own."""
    accelerator = torch.accelerator.current_accelerator()
    return accelerator is not None and accelerator.type == device.type


def processor_dtype() -> torch.dtype:
    """bfloat16 where the processor multiplies matrices in it (AMX), else float32.

    Without such units bfloat16 is converted back and forth and is slower than float32.
    """
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if capabilities.get("amx_bf16") else torch.float32
