"""Settings of a model of each family of the guidance `diffusion-prior`: of the published sizes, and tiny."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bozzetto.testing.fakes import TEXT_LENGTH, tiny_stable_diffusion
from bozzetto_plugins.guidance.model_families.known import PIPELINES

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """Settings of a model's parts."""

    denoiser: Settings
    vae: Settings | None
    """None: the denoiser is of pixels."""
    text_encoder: Settings = field(default_factory=dict)
    """Those that the step depends on: the encoder itself is not made."""


@dataclass(frozen=True)
class Family:
    """Family with a recipe that uses it."""

    pipeline: str
    recipe: str
    scheduler: Settings
    full: Size
    tiny: Size

    @property
    def name(self) -> str:
        """Name as the guidance has it."""
        return PIPELINES[self.pipeline].name


CODEC: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}  # fmt: skip
CODEC_16 = CODEC | {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
TINY_CODEC: dict[str, Any] = {
    "block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
}  # fmt: skip
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "epsilon"}
CLIP, TINY_CLIP = {"max_position_embeddings": 77}, {"max_position_embeddings": TEXT_LENGTH}
SDXL_MAP = {"scaling_factor": 0.13025, "force_upcast": True}
SD3_MAP = {"scaling_factor": 1.5305, "shift_factor": 0.0609}
Z_MAP = {"scaling_factor": 0.3611, "shift_factor": 0.1159}

SDXL = Family(
    "StableDiffusionXLPipeline", "dreamfusion-sdxl", BETAS,
    Size({
        "sample_size": 128, "layers_per_block": 2, "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20), "transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True,
        "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    }, CODEC | SDXL_MAP, CLIP),
    Size({
        "sample_size": 8, "layers_per_block": 1, "block_out_channels": (8, 16), "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": 24,
        "attention_head_dim": (2, 4), "transformer_layers_per_block": (1, 2), "use_linear_projection": True,
        "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 68,
    }, TINY_CODEC | SDXL_MAP, TINY_CLIP),
)  # fmt: skip
"""SDXL base 1.0: 2567 million parameters of the denoiser."""
MVDREAM = Family(
    "MVDreamPipeline", "mvdream", BETAS,
    Size({
        "sample_size": 32, "layers_per_block": 2, "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True, "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 16,
    }, CODEC | {"latent_channels": 4}, CLIP | {"hidden_size": 1024}),
    Size({
        "sample_size": 8, "layers_per_block": 1, "block_out_channels": (8, 16), "norm_num_groups": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": 16,
        "attention_head_dim": (2, 4), "use_linear_projection": True, "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 16,
    }, TINY_CODEC, TINY_CLIP | {"hidden_size": 16}),
)  # fmt: skip
"""MVDream: 868 million."""
SD3 = Family(
    "StableDiffusion3Pipeline", "rfds", {"shift": 3.0},
    Size({
        "sample_size": 128, "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 24,
        "attention_head_dim": 64, "num_attention_heads": 24, "joint_attention_dim": 4096,
        "caption_projection_dim": 1536, "pooled_projection_dim": 2048, "pos_embed_max_size": 384,
        "dual_attention_layers": tuple(range(13)), "qk_norm": "rms_norm",
    }, CODEC_16 | SD3_MAP, CLIP),
    Size({
        "sample_size": 8, "patch_size": 2, "in_channels": 4, "out_channels": 4, "num_layers": 2,
        "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 32, "caption_projection_dim": 16,
        "pooled_projection_dim": 36, "pos_embed_max_size": 8, "dual_attention_layers": (0,), "qk_norm": "rms_norm",
    }, TINY_CODEC | SD3_MAP, TINY_CLIP),
)  # fmt: skip
"""Stable Diffusion 3.5 medium: 2243 million."""
FLUX2 = Family(
    "Flux2KleinPipeline", "dreamfusion-flux", {"use_dynamic_shifting": True},
    Size({
        "patch_size": 1, "in_channels": 128, "num_layers": 5, "num_single_layers": 20, "attention_head_dim": 128,
        "num_attention_heads": 24, "joint_attention_dim": 7680, "guidance_embeds": False,
    }, CODEC | {"latent_channels": 32, "sample_size": 1024}, {"hidden_size": 2560}),
    Size({
        "patch_size": 1, "in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16,
        "num_attention_heads": 2, "joint_attention_dim": 48, "timestep_guidance_channels": 16,
        "axes_dims_rope": (4, 4, 4, 4), "guidance_embeds": False,
    }, TINY_CODEC | {"sample_size": 16}, {"hidden_size": 16}),
)  # fmt: skip
"""FLUX.2 klein base 4B: 3876 million."""
Z_IMAGE = Family(
    "ZImagePipeline", "rfds-z-image", {"shift": 6.0},
    Size({
        "in_channels": 16, "dim": 3840, "n_layers": 30, "n_refiner_layers": 2, "n_heads": 30, "n_kv_heads": 30,
        "cap_feat_dim": 2560, "axes_dims": [32, 48, 48], "axes_lens": [1024, 512, 512],
    }, CODEC_16 | Z_MAP, {"hidden_size": 2560}),
    Size({
        "in_channels": 4, "dim": 32, "n_layers": 1, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2,
        "cap_feat_dim": 16, "axes_dims": [4, 6, 6], "axes_lens": [1024, 64, 64],
    }, TINY_CODEC | Z_MAP, {"hidden_size": 16}),
)  # fmt: skip
"""Z-Image: 6155 million."""
IF_BLOCKS: dict[str, Any] = {
    "in_channels": 3, "out_channels": 6, "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "addition_embed_type": "text", "cross_attention_norm": "group_norm", "resnet_time_scale_shift": "scale_shift",
    "act_fn": "gelu",
}  # fmt: skip
DEEPFLOYD_IF = Family(
    "IFPipeline", "dreamfusion-if",
    {"beta_schedule": "squaredcos_cap_v2", "variance_type": "learned_range", "prediction_type": "epsilon"},
    Size(IF_BLOCKS | {
        "sample_size": 64, "layers_per_block": 3, "block_out_channels": (704, 1408, 2112, 2816),
        "down_block_types": ("ResnetDownsampleBlock2D",) + ("SimpleCrossAttnDownBlock2D",) * 3,
        "up_block_types": ("SimpleCrossAttnUpBlock2D",) * 3 + ("ResnetUpsampleBlock2D",),
        "cross_attention_dim": 2816, "encoder_hid_dim": 4096, "attention_head_dim": 64,
        "addition_embed_type_num_heads": 64,
    }, None),
    Size(IF_BLOCKS | {
        "sample_size": 8, "layers_per_block": 1, "block_out_channels": (32, 64),
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), "cross_attention_dim": 32,
        "encoder_hid_dim": 32, "attention_head_dim": 8, "addition_embed_type_num_heads": 2,
    }, None),
)  # fmt: skip
"""DeepFloyd IF-I-XL: 4305 million."""

FAMILIES = (SDXL, MVDREAM, SD3, FLUX2, Z_IMAGE, DEEPFLOYD_IF)
"""All families of the guidance, smallest images last."""


def write_settings(family: Family, folder: Path, tiny: bool) -> Path:
    """Write the settings of a model, without weights, and return its folder."""
    size, known = family.tiny if tiny else family.full, PIPELINES[family.pipeline]
    if family is MVDREAM:  # whose tokenizer says how long a text is
        tiny_stable_diffusion(folder)
        tokenizer = folder / "tokenizer" / "tokenizer_config.json"
        told = json.loads(tokenizer.read_text(encoding="utf-8"))
        _write(tokenizer, told | {"model_max_length": size.text_encoder["max_position_embeddings"]})
    for part, kind in known.classes.items():
        settings = size.denoiser if part == known.denoiser else size.vae or {}
        _write(folder / part / "config.json", {"_class_name": kind, **settings})
    _write(folder / "text_encoder" / "config.json", size.text_encoder)
    _write(folder / "scheduler" / "scheduler_config.json", {"num_train_timesteps": 1000, **family.scheduler})
    _write(folder / "model_index.json", {"_class_name": family.pipeline})
    return folder


def _write(path: Path, values: Settings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(values), indent=2), encoding="utf-8")
