"""Small constant tensors, sent to each device once: a copy from main memory waits for the device."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

__all__ = ["constant"]


def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a tensor of constants, given as tuples of numbers; the same one at each call, so not to be changed."""
    return _made(values, device, dtype)


@lru_cache(maxsize=256)
def _made(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)
