"""Small stand-ins for heavy parts: a text encoder without weights, and complete models of a few kilobytes."""

from __future__ import annotations

import hashlib
import json
import math
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.types import Cameras, Reference

__all__ = [
    "TEXT_LENGTH",
    "TEXT_WIDTH",
    "FakeTextEncoder",
    "a_photo",
    "cameras_around",
    "tiny_stable_diffusion",
    "tiny_zero123",
]

TEXT_WIDTH = 16
TEXT_LENGTH = 32


class FakeTextEncoder:
    """Text encoder that embeds a text as noise seeded by its hash: equal texts get equal embeddings."""

    def __init__(
        self,
        text_model_id: str = "fake",
        length: int = 4,
        width: int = 8,
        known: frozenset[str] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.text_model_id = text_model_id
        self.length = length
        self.width = width
        self.known = known
        self.dtype = dtype
        self.encoded: list[str] = []
        """Every encoded text, in order."""

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        self.encoded += texts
        return torch.stack([self._embedding(text) for text in texts])

    def unknown_words(self, text: str) -> Sequence[str]:
        return () if self.known is None else [word for word in text.split() if word not in self.known]

    def _embedding(self, text: str) -> Float[Tensor, "N E"]:
        seed = int.from_bytes(hashlib.sha256(f"{self.text_model_id}\0{text}".encode()).digest()[:4], "big")
        noise = torch.randn(self.length, self.width, generator=torch.Generator().manual_seed(seed))
        return noise.to(self.dtype)


def a_photo(size: int = 16, elevation_deg: float = 10.0, azimuth_deg: float = 0.0, seed: int = 0) -> Reference:
    """Return a disc of random colours, seen at distance 3, with a depth and a normal map."""
    generator = torch.Generator().manual_seed(seed)
    line = (torch.arange(size) + 0.5) / size * 2.0 - 1.0
    up, right = torch.meshgrid(-line, line, indexing="ij")
    mask = ((up.square() + right.square()) < 0.5).float()[..., None]
    facing = torch.stack([right, up, torch.ones_like(up)], dim=-1)
    return Reference(
        image=torch.rand(size, size, 3, generator=generator),
        mask=mask,
        camera=cameras_around([azimuth_deg], elevation_deg, size),
        depth=(up.square() + right.square())[..., None],
        normal=torch.nn.functional.normalize(facing, dim=-1),
    )


def cameras_around(
    azimuth_deg: Sequence[float], elevation_deg: Sequence[float] | float = 0.0, size: int = 8, distance: float = 3.0
) -> Cameras:
    """Return square cameras at the given angles, looking at the origin."""
    azimuth = torch.tensor(azimuth_deg, dtype=torch.float32)
    elevation = torch.tensor(elevation_deg, dtype=torch.float32).expand_as(azimuth)
    position = spherical_position(azimuth, elevation, torch.full_like(azimuth, distance))
    return Cameras(look_at_origin(position), torch.full_like(azimuth, math.radians(40.0)), size, size)


def tiny_stable_diffusion(
    folder: Path,
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon",
    latent_channels: int = 4,
    vae_levels: int = 3,
    train_steps: int = 1000,
    latent_size: int = 8,
    seed: int = 0,
    fp16_only: bool = False,
) -> Path:
    """Write a random Stable Diffusion in diffusers' folder format, tokenizer included, and return its folder.

    Args:
        vae_levels: the image is `latent_size * 2 ** (vae_levels - 1)` pixels wide: 4 levels are a factor of 8.
        fp16_only: only write weights with the names of the `fp16` variant.
    """
    vocabulary = _write_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, vae = _networks(latent_channels, latent_channels, vae_levels, latent_size)
        text_encoder = _text_encoder(vocabulary)
    variant = "fp16" if fp16_only else None
    for name, part in (("unet", unet), ("vae", vae), ("text_encoder", text_encoder)):
        part.save_pretrained(folder / name, variant=variant)
    _write_scheduler(folder / "scheduler", prediction_type, train_steps)
    _write_index(folder)
    return folder


def tiny_zero123(
    folder: Path,
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon",
    projection: Literal["clip_camera_projection", "cc_projection"] = "clip_camera_projection",
    vae_levels: int = 2,
    seed: int = 0,
) -> Path:
    """Write a random Zero123 in diffusers' folder format, and return its folder.

    Args:
        projection: name of the layer that joins image and pose, in either of the two layouts.
        vae_levels: the image is `8 * 2 ** (vae_levels - 1)` pixels wide.
    """
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, vae = _networks(8, 4, vae_levels, 8)
        image_encoder = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16,
                patch_size=8, projection_dim=TEXT_WIDTH,
            )
        )  # fmt: skip
        layer = torch.nn.Linear(TEXT_WIDTH + 4, TEXT_WIDTH)
    parts: tuple[tuple[str, _Part], ...] = (("unet", unet), ("vae", vae), ("image_encoder", image_encoder))
    for name, part in parts:
        part.save_pretrained(folder / name)
    (folder / projection).mkdir()
    inner = "proj" if projection == "clip_camera_projection" else "projection"
    weights = {f"{inner}.{name}": value.detach().contiguous() for name, value in layer.named_parameters()}
    save_file(weights, folder / projection / "diffusion_pytorch_model.safetensors")
    _write_json(folder / projection / "config.json", {"_class_name": "CLIPCameraProjection"})
    _write_scheduler(folder / "scheduler", prediction_type, 1000)
    _write_json(folder / "model_index.json", {"_class_name": "Zero123Pipeline"})
    return folder


@runtime_checkable
class _Part(Protocol):
    """A part of a model, of diffusers or transformers."""

    def save_pretrained(self, save_directory: Path, *, variant: str | None = None) -> Any:
        """Write weights and settings into a folder."""


def _networks(in_channels: int, latent_channels: int, vae_levels: int, latent_size: int) -> tuple[_Part, _Part]:
    """Return a denoiser and an autoencoder of diffusers."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=in_channels,
        out_channels=latent_channels,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * vae_levels,
        up_block_types=("UpDecoderBlock2D",) * vae_levels,
        block_out_channels=(8,) * vae_levels,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=latent_size * 2 ** (vae_levels - 1),
    )
    return unet, vae


def _text_encoder(vocabulary: dict[str, int]) -> _Part:
    from transformers import CLIPTextConfig, CLIPTextModel

    end = vocabulary["<|endoftext|>"]
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=TEXT_LENGTH,
            bos_token_id=vocabulary["<|startoftext|>"],
            eos_token_id=end,
            pad_token_id=end,
        )
    )


def _write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2), encoding="utf-8")


def _write_scheduler(folder: Path, prediction_type: str, train_steps: int) -> None:
    values = {
        "_class_name": "PNDMScheduler",
        "num_train_timesteps": train_steps,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": prediction_type,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
    }
    _write_json(folder / "scheduler_config.json", values)


def _write_index(folder: Path) -> None:
    values = {
        "_class_name": "StableDiffusionPipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
    }
    _write_json(folder / "model_index.json", values)


def _write_tokenizer(folder: Path) -> dict[str, int]:
    """Write a byte-pair tokenizer without merges, one token per character, and return its vocabulary."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = ["<|startoftext|>", *letters, *(f"{letter}</w>" for letter in letters), "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    _write_json(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TEXT_LENGTH,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    _write_json(folder / "tokenizer_config.json", settings)
    return vocabulary
