"""Data type of the frozen weights."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "float16", "bfloat16"]


def choose_dtype(name: Precision, device: torch.device) -> torch.dtype:
    """Return the data type of `name`; `auto` is float16 on an accelerator and `processor_dtype()` elsewhere."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    return torch.float16 if is_accelerator(device) else processor_dtype()


def is_accelerator(device: torch.device) -> bool:
    """Return whether `device` is the current accelerator."""
    accelerator = torch.accelerator.current_accelerator()
    return accelerator is not None and accelerator.type == device.type


def processor_dtype() -> torch.dtype:
    """Return bfloat16 if the CPU has bfloat16 matrix units (AMX), else float32.

    Without such units bfloat16 is converted back and forth and is slower than float32.
    """
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if capabilities.get("amx_bf16") else torch.float32
