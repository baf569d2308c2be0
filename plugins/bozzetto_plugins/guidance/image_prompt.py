"""Weights of the folder `image_prompt`: what a denoiser of text needs besides to be shown a photo."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from bozzetto.errors import ModelError
from bozzetto.weights.folder import IMAGE_PROMPT, weights_in

__all__ = ["ATTENTION", "RESAMPLER", "image_prompt_weights"]

ATTENTION = "attention."
"""Prefix of the denoiser's layers."""
RESAMPLER = "resampler."
"""Prefix of the weights of the resampler."""


def image_prompt_weights(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Return the weights of a model folder whose names begin with a prefix, by the rest of their names.

    Raises:
        ModelError: the folder has none.
    """
    files = weights_in(folder / IMAGE_PROMPT)
    if not files:
        raise ModelError(
            f"{folder} has no {IMAGE_PROMPT} with .safetensors weights. Convert the published weights with "
            "tools/convert_imagedream.py."
        )
    held = {name: value for file in files for name, value in load_file(file).items()}
    return {name.removeprefix(prefix): value for name, value in held.items() if name.startswith(prefix)}
