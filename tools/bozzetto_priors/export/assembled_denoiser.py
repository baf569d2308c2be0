"""Denoiser of the text prior, assembled from the trained parts."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_priors.objects.thing_table import PIECES


def assemble(things: Path, words: Path, details: Path | None) -> CameraUNet:
    """Assemble the denoiser: memory of all pieces, text heads and refinement network (None: it outputs zero)."""
    unet = CameraUNet(things=len(PIECES) + 1)
    memory = unet.memory.state_dict()
    for row, piece in enumerate(PIECES.values(), start=1):
        for name, value in load_file(things / f"{piece.key.replace('/', '__')}.safetensors").items():
            memory[name][row] = value
    unet.load_state_dict(load_file(words / "heads.safetensors"), strict=False)
    if details is None:
        torch.nn.init.zeros_(unet.refine.conv_out.weight)
        torch.nn.init.zeros_(unet.refine.conv_out.bias)
    else:
        unet.refine.load_state_dict(load_file(details / "refine.safetensors"))
    return unet
