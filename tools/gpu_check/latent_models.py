"""Settings of models that edit pictures or draw by a map: InstructPix2Pix, and Stable Diffusion with a ControlNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_check.families import BETAS, CODEC, TINY_CODEC, write_json
from gpu_check.models import UNET

UNET_1: dict[str, Any] = UNET | {"cross_attention_dim": 768, "attention_head_dim": 8}
"""Denoiser of Stable Diffusion 1.5: 860 million parameters."""
TINY_UNET: dict[str, Any] = {
    "sample_size": 8, "layers_per_block": 1, "block_out_channels": (8, 16), "norm_num_groups": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": 16, "attention_head_dim": 2,
}  # fmt: skip
OF_UNET_ALONE = ("sample_size", "up_block_types", "out_channels")
"""Settings of a denoiser that its ControlNet has not."""
MAP_CHANNELS, TINY_MAP_CHANNELS = (16, 32, 96, 256), (4, 8)
CONTROL = "control"
"""Folder of a ControlNet, in that of its model."""


@dataclass(frozen=True)
class LatentModel:
    """Model of Stable Diffusion 1.5's sizes with a recipe that uses it."""

    name: str
    """Name of its row: the model, and what is done with it if that is not the recipe's."""
    recipe: str
    pipeline: str
    changes: tuple[str, ...] = ()
    """Overrides of the recipe."""
    picture: bool = False
    """Whether its denoiser reads the latents of a picture beside the noisy ones."""
    control: bool = False
    """Whether it has a ControlNet."""

    @property
    def parts(self) -> Mapping[str, str]:
        """Class of each network by its folder's name."""
        control = {CONTROL: "ControlNetModel"} if self.control else {}
        return {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"} | control

    def write(self, folder: Path, tiny: bool) -> Path:
        """Write the settings of the model, without weights, and return its folder."""
        unet, vae = (TINY_UNET, TINY_CODEC) if tiny else (UNET_1, {**CODEC, "latent_channels": 4})
        control = {name: value for name, value in unet.items() if name not in OF_UNET_ALONE} | {
            "conditioning_embedding_out_channels": TINY_MAP_CHANNELS if tiny else MAP_CHANNELS
        }
        settings = {"unet": {**unet, "in_channels": 8 if self.picture else 4}, "vae": vae, CONTROL: control}
        for part, kind in self.parts.items():
            write_json(folder / part / "config.json", {"_class_name": kind, **settings[part]})
        write_json(folder / "text_encoder" / "config.json", {"hidden_size": unet["cross_attention_dim"]})
        write_json(folder / "scheduler" / "scheduler_config.json", {"num_train_timesteps": 1000, **BETAS})
        write_json(folder / "model_index.json", {"_class_name": self.pipeline})
        return folder


PIX2PIX = "StableDiffusionInstructPix2PixPipeline"
EDIT = LatentModel(
    "InstructPix2Pix, an edit in each step", "edit-ip2p", PIX2PIX, ("system.tasks.edit.guidance.edit_every=1",),
    picture=True,
)  # fmt: skip
THREE_WAY = LatentModel(
    "InstructPix2Pix, three-way score", "edit-ip2p", PIX2PIX,
    (
        "system.tasks.edit.score={type: distillation, guider: {type: three-way, scale: 7.5, image_scale: 1.5}}",
        "system.tasks.edit.losses={edit: null, score: 1.0}",
    ),
    picture=True,
)  # fmt: skip
CONTROLLED = LatentModel(
    "Stable Diffusion 1.5 with ControlNet", "texture-controlnet", "StableDiffusionPipeline", control=True
)  # fmt: skip
"""Its ControlNet: 361 million parameters."""
LATENT_MODELS = (EDIT, THREE_WAY, CONTROLLED)
