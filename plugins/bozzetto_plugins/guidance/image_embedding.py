"""Image conditioning of Zero123: CLIP's vision tower, and the layer that projects embedding and pose to a token."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection, PreTrainedModel, ResNetForImageClassification

from bozzetto.errors import ModelError
from bozzetto.model_files import read_settings
from bozzetto.weights.folder import PROJECTIONS, weights_in
from bozzetto_plugins.guidance.latents import resize
from bozzetto_plugins.guidance.weights import load_with_info, reading, require_size, require_whole, without_bars

POSE_WIDTH = 4
ENCODERS: dict[str, tuple[type[PreTrainedModel], str]] = {
    "clip_vision_model": (CLIPVisionModelWithProjection, "image_embeds"),
    "resnet": (ResNetForImageClassification, "logits"),
}
"""Image encoder class and the name of its embedding output, by the `model_type` of its config."""


class ImageEmbedding:
    """Encoder of reference images; occupies the device only while encoding, which happens once per run.

    Raises:
        ModelError: the folder contains no image encoder, or one of an unknown type.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        self.folder, self.device, self.dtype = folder, device, dtype
        settings = read_settings(folder / "image_encoder" / "config.json")
        self.size: int = settings.get("image_size", 224)
        self.width: int = settings.get("projection_dim", 512)
        look = folder / "feature_extractor" / "preprocessor_config.json"
        values = read_settings(look) if look.is_file() else {}
        self.mean = values.get("image_mean", [0.48145466, 0.4578275, 0.40821073])
        self.std = values.get("image_std", [0.26862954, 0.26130258, 0.27577711])

        kind = settings.get("model_type", "clip_vision_model")
        if kind not in ENCODERS:
            raise ModelError(f"{folder / 'image_encoder'} is of type {kind!r}. Known: {', '.join(ENCODERS)}.")
        model, self.output = ENCODERS[kind]
        self.encoder = _load(model, folder / "image_encoder", dtype)
        self.home = next(self.encoder.parameters()).device

    @torch.no_grad()
    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B E"]:
        """Return float32 embeddings of images in [0, 1]."""
        shown = resize(images.to(self.device), (self.size, self.size))
        mean, std = (shown.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        seen = self.encoder.to(self.device)(pixel_values=((shown - mean) / std).to(self.dtype))
        self.encoder.to(self.home)
        embedding: Tensor = getattr(seen, self.output)
        return embedding.float()


def load_projection(folder: Path, device: torch.device) -> nn.Linear:
    """Load the linear layer from (embedding, pose) to a token, in float32.

    Raises:
        ModelError: it is missing, or is not linear.
    """
    found = [folder / name for name in PROJECTIONS if (folder / name).is_dir()]
    files = weights_in(found[0]) if found else []
    if not files:
        raise ModelError(
            f"{folder} has no {' or '.join(PROJECTIONS)} with .safetensors weights: it is no Zero123 model. Choose "
            f"bozzetto-mini-zero123, zero123-xl, zero123 or stable-zero123."
        )
    with reading("The layer that joins photo and pose", files[0]):
        weights = {name.rpartition(".")[2]: value.float() for name, value in load_file(files[0]).items()}
    if set(weights) != {"weight", "bias"} or weights["weight"].ndim != 2:
        raise ModelError(f"{files[0]} holds {', '.join(sorted(weights))}, not the weight and bias of one layer.")
    outputs, inputs = weights["weight"].shape
    layer = nn.Linear(inputs, outputs)
    with reading("The layer that joins photo and pose", files[0]):
        layer.load_state_dict(weights)
    return layer.requires_grad_(False).to(device)


def _load(model: type[PreTrainedModel], path: Path, dtype: torch.dtype) -> nn.Module:
    with reading("The image encoder", path), without_bars():
        settings = model.config_class
        assert settings is not None  # of every model that is not abstract
        require_size(lambda: model(settings.from_pretrained(path)), path)
        encoder, loaded = load_with_info(model, path, dtype)
    require_whole(loaded, "The image encoder", path)
    return encoder.requires_grad_(False).eval()
