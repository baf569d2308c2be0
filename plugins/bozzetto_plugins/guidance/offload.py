"""Offloading of weights to main memory while they are not used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from bozzetto.errors import ConfigError
from bozzetto_plugins.guidance.precision import is_accelerator

Offload = Literal["none", "model", "sequential"]

log = logging.getLogger(__name__)


def place(vae: nn.Module, unet: nn.Module, device: torch.device, mode: Offload) -> Callable[[], None]:
    """Move both networks to where they run; return a function to call when the denoiser is done for a step.

    `none`: all weights stay on `device`. `model`: the denoiser is offloaded between steps; the image encoder, a tenth
    of its size, stays because gradients pass through it. `sequential`: layers are loaded one at a time, and copies of
    the encoder's layers live until the backward pass is done.
    """
    if mode != "none" and not is_accelerator(device):
        log.warning("cpu_offload=%s changes nothing: the weights are in main memory already.", mode)
        mode = "none"
    if mode == "none":
        vae.to(device)
        unet.to(device)
        return _nothing
    return offload(vae, unet, device, mode)


def place_network(network: nn.Module, device: torch.device, mode: Offload) -> Callable[[], None]:
    """Move a network beside the denoiser, such as a ControlNet, in the same way; return what to call after a step."""
    if mode == "none" or not is_accelerator(device):
        network.to(device)
        return _nothing
    import accelerate  # which the denoiser, placed before, needs too

    if mode == "model":
        _, hook = accelerate.cpu_offload_with_hook(network, device)
        leave: Callable[[], None] = hook.offload
        return leave
    accelerate.cpu_offload(network, device)
    return _nothing


def offload(
    vae: nn.Module, unet: nn.Module, device: torch.device, mode: Literal["model", "sequential"]
) -> Callable[[], None]:
    """Attach the offloading hooks of `accelerate`."""
    try:
        import accelerate
    except ImportError:
        raise ConfigError(
            f"cpu_offload: {mode!r} needs the package accelerate. Run: pip install accelerate, or set cpu_offload=none."
        ) from None
    if mode == "model":
        vae.to(device)
        _, hook = accelerate.cpu_offload_with_hook(unet, device)
        leave: Callable[[], None] = hook.offload
        return leave
    accelerate.cpu_offload(vae, device)
    accelerate.cpu_offload(unet, device)
    return _nothing


def _nothing() -> None:
    """Do nothing: no weights are offloaded."""
