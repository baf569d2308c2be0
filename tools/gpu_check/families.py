"""Settings of a model of each family of `diffusion-prior`, and of ImageDream: of the published sizes, and tiny."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    image_encoder: Settings = field(default_factory=dict)
    """CLIP's vision tower; empty: the model is shown no photo."""
    image_prompt: Settings = field(default_factory=dict)
    """The resampler of a photo's tokens, and whether the photo is a view."""


@dataclass(frozen=True)
class Family:
    """Family with a recipe that uses it."""

    pipeline: str
    recipe: str
    scheduler: Settings
    full: Size
    tiny: Size
    changes: tuple[str, ...] = ()
    """Overrides of the recipe."""

    @property
    def name(self) -> str:
        """Name as the guidance has it."""
        return PIPELINES[self.pipeline].name

    @property
    def parts(self) -> Mapping[str, str]:
        """Class of each network by its folder's name."""
        shown = {"image_encoder": "CLIPVisionModel"} if self.full.image_encoder else {}
        return {**PIPELINES[self.pipeline].classes, **shown}

    def write(self, folder: Path, tiny: bool) -> Path:
        """Write the settings of a model, without weights, and return its folder."""
        size, known = self.tiny if tiny else self.full, PIPELINES[self.pipeline]
        if known.grouped:  # their tokenizer says how long a text is
            tiny_stable_diffusion(folder)
            tokenizer = folder / "tokenizer" / "tokenizer_config.json"
            told = json.loads(tokenizer.read_text(encoding="utf-8"))
            write_json(tokenizer, told | {"model_max_length": size.text_encoder["max_position_embeddings"]})
        for part, kind in known.classes.items():
            settings = size.denoiser if part == known.denoiser else size.vae or {}
            write_json(folder / part / "config.json", {"_class_name": kind, **settings})
        for part in ("image_encoder", "image_prompt", "text_encoder"):
            if part == "text_encoder" or getattr(size, part):
                write_json(folder / part / "config.json", getattr(size, part))
        write_json(folder / "scheduler" / "scheduler_config.json", {"num_train_timesteps": 1000, **self.scheduler})
        write_json(folder / "model_index.json", {"_class_name": self.pipeline})
        return folder


def write_json(path: Path, values: Settings) -> None:
    """Write settings as JSON, and the folders that they are in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(values), indent=2), encoding="utf-8")


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
VISION: dict[str, Any] = {
    "model_type": "clip_vision_model", "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
    "num_attention_heads": 16, "image_size": 224, "patch_size": 14, "hidden_act": "gelu",
}  # fmt: skip
"""Vision tower of OpenCLIP ViT-H: 631 million parameters."""
TINY_VISION = VISION | {
    "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 16,
    "patch_size": 8,
}  # fmt: skip
RESAMPLER: dict[str, Any] = {
    "embed_dims": 1280, "output_dims": 1024, "hidden_dims": 1024, "depth": 4, "dim_head": 64, "heads": 12,
    "num_queries": 16, "ffn_ratio": 4, "photo_is_a_view": True,
}  # fmt: skip
TINY_RESAMPLER = RESAMPLER | {
    "embed_dims": 8, "output_dims": 16, "hidden_dims": 16, "depth": 1, "dim_head": 4, "heads": 2, "num_queries": 4,
}  # fmt: skip
IMAGEDREAM = Family(
    "ImageDreamPipeline", "imagedream", BETAS,
    replace(MVDREAM.full, image_encoder=VISION, image_prompt=RESAMPLER),
    replace(MVDREAM.tiny, image_encoder=TINY_VISION, image_prompt=TINY_RESAMPLER),
)  # fmt: skip
"""ImageDream: MVDream's denoiser with attention to a photo."""
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

FAMILIES = (SDXL, MVDREAM, IMAGEDREAM, SD3, FLUX2, Z_IMAGE, DEEPFLOYD_IF)
"""All families, smallest images last."""
