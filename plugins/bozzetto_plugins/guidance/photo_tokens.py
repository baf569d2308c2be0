"""Tokens of a photo: all that CLIP's vision tower sees of it, resampled to a few (IP-Adapter Plus, Ye et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.constants import constant
from bozzetto.model_files import read_settings
from bozzetto.weights.folder import IMAGE_PROMPT
from bozzetto_plugins.guidance.image_prompt import RESAMPLER, image_prompt_weights
from bozzetto_plugins.guidance.offload import Offload
from bozzetto_plugins.guidance.weights import load_with_info, reading, require_size, require_whole, without_bars

SIZES = ("embed_dims", "output_dims", "hidden_dims", "depth", "dim_head", "heads", "num_queries", "ffn_ratio")
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class PhotoTokens:
    """Image encoder and resampler of a model folder, frozen; both wait in main memory if weights are offloaded.

    Raises:
        ModelError: a part is missing or damaged, or they do not fit together.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, offload: Offload) -> None:
        self.device, self.dtype = device, dtype
        encoder = load_image_encoder(folder / "image_encoder", dtype)
        path = folder / IMAGE_PROMPT
        with reading("The resampler", path):
            settings = read_settings(path / "config.json")
            resampler = IPAdapterPlusImageProjection(**{name: settings[name] for name in SIZES})
            resampler.load_state_dict(image_prompt_weights(folder, RESAMPLER))
        self.size = int(encoder.config.image_size)
        self.home = device if offload == "none" else next(encoder.parameters()).device  # where it was read
        self.encoder = encoder.requires_grad_(False).eval().to(self.home)
        self.resampler = resampler.requires_grad_(False).eval().to(self.home, dtype)

    @torch.no_grad()
    def encode(self, images: Float[Tensor, "B 3 s s"]) -> tuple[Float[Tensor, "B n E"], Float[Tensor, "1 n E"]]:
        """Return float32 tokens of images in [0, 1] of side `size`, and those of no image.

        The vision tower's penultimate states are resampled; of no image they are zeros.
        """
        mean, std = (constant(values, images.device).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        encoder, resampler = self.encoder.to(self.device), self.resampler.to(self.device)
        seen = encoder(pixel_values=((images - mean) / std).to(self.dtype), output_hidden_states=True).hidden_states[-2]
        tokens, none = resampler(seen).float(), resampler(torch.zeros_like(seen[:1])).float()
        self.encoder.to(self.home)
        self.resampler.to(self.home)
        return tokens, none


def load_image_encoder(path: Path, dtype: torch.dtype) -> Any:
    """Load CLIP's vision tower.

    Raises:
        ModelError: it is missing or damaged.
    """
    import transformers

    model: Any = transformers.CLIPVisionModel
    with reading("The image encoder", path), without_bars():
        require_size(lambda: model(model.config_class.from_pretrained(path, local_files_only=True)), path)
        encoder, facts = load_with_info(model, path, dtype)
    require_whole(facts, "The image encoder", path)
    return encoder
