"""Launches Warp kernels on torch tensors: on torch's current stream, without copies and without waiting."""

from __future__ import annotations

import functools
from typing import Any

import torch
import warp as wp
from torch import Tensor

wp.config.log_level = max(wp.config.log_level, wp.LOG_WARNING)  # neither a banner nor a line for each module
wp.init()


def launch(kernel: wp.Kernel, dim: int | tuple[int, ...], *arguments: Tensor | int | float | None) -> None:
    """Launch a kernel on the device of its first tensor; None is an empty array.

    Tensors must be contiguous and of the types of the kernel's arrays, of which vectors take up the last dimension.
    """
    device = next(item.device for item in arguments if isinstance(item, Tensor))
    stream = _stream(device.index, torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else None
    inputs = [_argument(item, of.type) for item, of in zip(arguments, kernel.adj.args, strict=True)]
    wp.launch(kernel, dim=dim, inputs=inputs, device=wp.device_from_torch(device), stream=stream)


def module(name: str) -> wp.Module:
    """Return a new module of kernels, which is compiled as a whole on the first launch of one of them.

    Rounding is that of each operation (`fuse_fp`): a fused multiplication and addition would differ from the reference.
    Loops of more than four turns are left to the compiler: Warp's own unrolling makes it slow.
    """
    found = wp.get_module(f"bozzetto_{name}")
    found.options.update({"enable_backward": False, "fuse_fp": False, "max_unroll": 4})
    return found


def _argument(item: Any, kind: Any) -> Any:
    if not isinstance(item, Tensor):
        return item
    return wp.from_torch(item, dtype=kind.dtype, requires_grad=False, return_ctype=True)


@functools.lru_cache(maxsize=64)
def _stream(device: int, address: int) -> wp.Stream:
    return wp.Stream(wp.device_from_torch(torch.device("cuda", device)), cuda_stream=address)
