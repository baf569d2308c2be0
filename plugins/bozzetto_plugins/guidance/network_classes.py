"""Classes of networks that the guidances of latent diffusion models load. Does not import torch."""

from __future__ import annotations

from pathlib import Path

from bozzetto.errors import ModelError
from bozzetto.model_files import read_settings

NETWORKS = {
    "unet": ("UNet2DConditionModel", "CameraUNet"),
    "vae": ("AutoencoderKL", "PatchCodec"),
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection"),
}
"""Class names that the settings of each part may give."""


def check_classes(folder: Path) -> None:
    """Raise `ModelError` if a network in a model folder is of a class that the guidances do not load."""
    for part, known in NETWORKS.items():
        path = folder / part / "config.json"
        if path.is_file():
            values = read_settings(path)
            listed = values.get("architectures")
            named = values.get("_class_name") or (listed[0] if isinstance(listed, list) and listed else None)
            if named is not None and named not in known:
                raise ModelError(
                    f"model: {path} is of class {named!r:.80}, not {' or '.join(known)}: another kind of model."
                )
