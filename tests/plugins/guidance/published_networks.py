"""Networks of the published models, constructed with their published settings on the meta device: sizes, no weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    ControlNetModel,
    Flux2Transformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
)

import convert_imagedream
import convert_mvdream
from bozzetto_plugins.guidance.single_file import LAYOUTS


def sdxl_unet() -> nn.Module:
    return UNet2DConditionModel(
        sample_size=128, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(320, 640, 1280), cross_attention_dim=2048, attention_head_dim=(5, 10, 20),
        transformer_layers_per_block=(1, 2, 10), addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816, use_linear_projection=True,
    )  # fmt: skip


def if_unet() -> nn.Module:
    return UNet2DConditionModel(
        sample_size=64, in_channels=3, out_channels=6, layers_per_block=3, block_out_channels=(704, 1408, 2112, 2816),
        down_block_types=("ResnetDownsampleBlock2D", *("SimpleCrossAttnDownBlock2D",) * 3),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*("SimpleCrossAttnUpBlock2D",) * 3, "ResnetUpsampleBlock2D"), cross_attention_dim=2816,
        encoder_hid_dim=4096, attention_head_dim=64, addition_embed_type="text", addition_embed_type_num_heads=64,
        cross_attention_norm="group_norm", resnet_time_scale_shift="scale_shift", act_fn="gelu",
    )  # fmt: skip


def sd3_transformer() -> nn.Module:
    return SD3Transformer2DModel(
        sample_size=128, num_layers=24, attention_head_dim=64, num_attention_heads=24, caption_projection_dim=1536,
        pos_embed_max_size=384, qk_norm="rms_norm", dual_attention_layers=tuple(range(13)),
    )  # fmt: skip


def flux2_transformer() -> nn.Module:
    return Flux2Transformer2DModel(
        num_layers=5, num_single_layers=20, num_attention_heads=24, joint_attention_dim=7680, guidance_embeds=False
    )


def codec(channels: int = 4) -> nn.Module:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=channels,
        use_quant_conv=channels == 4, use_post_quant_conv=channels == 4,
    )  # fmt: skip


def clip_text(width: int, layers: int, projection: int) -> nn.Module:
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=width // 64,
            projection_dim=projection,
        )
    )  # fmt: skip


def t5_xxl() -> nn.Module:
    return T5EncoderModel(
        T5Config(
            vocab_size=32128, d_model=4096, d_ff=10240, d_kv=64, num_heads=64, num_layers=24,
            feed_forward_proj="gated-gelu",
        )
    )  # fmt: skip


def qwen3_4b() -> nn.Module:
    return Qwen3Model(
        Qwen3Config(
            vocab_size=151936, hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32,
            num_key_value_heads=8, head_dim=128,
        )
    )  # fmt: skip


def clip_vision() -> nn.Module:
    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14
        )
    )


def mvdream_unet() -> nn.Module:
    return UNet2DConditionModel(**convert_mvdream.SETTINGS)


def image_prompt() -> nn.Module:
    """Return the resampler, and two layers beside the keys of each attention to text."""
    keys = [module.to_k for name, module in mvdream_unet().named_modules() if name.endswith("attn2")]
    layers = [nn.Linear(key.in_features, key.out_features, bias=False) for key in keys for _ in range(2)]
    return nn.ModuleList([IPAdapterPlusImageProjection(**convert_imagedream.RESAMPLER), *layers])


def pix2pix_unet() -> nn.Module:
    settings = json.loads((LAYOUTS / "sd-1" / "unet" / "config.json").read_text())
    return UNet2DConditionModel.from_config({**settings, "in_channels": 8})


Maker = Callable[[], Any]

PUBLISHED: Mapping[str, Mapping[str, Maker]] = {
    "sdxl": {
        "unet": sdxl_unet, "vae": codec, "text_encoder": lambda: clip_text(768, 12, 768),
        "text_encoder_2": lambda: clip_text(1280, 32, 1280),
    },
    "mvdream": {"unet": mvdream_unet, "vae": codec, "text_encoder": lambda: clip_text(1024, 23, 512)},
    "imagedream": {
        "unet": mvdream_unet, "vae": codec, "text_encoder": lambda: clip_text(1024, 23, 512),
        "image_encoder": clip_vision, "image_prompt": image_prompt,
    },
    "sd-3.5-medium": {
        "transformer": sd3_transformer, "vae": lambda: codec(16), "text_encoder": lambda: clip_text(768, 12, 768),
        "text_encoder_2": lambda: clip_text(1280, 32, 1280), "text_encoder_3": t5_xxl,
    },
    "flux.2-klein-base-4b": {"transformer": flux2_transformer, "vae": AutoencoderKLFlux2, "text_encoder": qwen3_4b},
    "z-image": {"transformer": ZImageTransformer2DModel, "vae": lambda: codec(16), "text_encoder": qwen3_4b},
    "deepfloyd-if": {"unet": if_unet, "text_encoder": t5_xxl},
}  # fmt: skip
"""Parts of each model, by alias."""


def single_file_part(layout: str, part: str, kind: Any) -> Maker:
    """Return the maker of a network by the settings that single files are read with."""
    values = json.loads((LAYOUTS / layout / part / "config.json").read_text())
    return lambda: kind(CLIPTextConfig(**values)) if kind is CLIPTextModel else kind.from_config(values)


STABLE_DIFFUSION: Mapping[str, Mapping[str, Maker]] = {
    alias: {
        part: single_file_part(layout, part, kind)
        for part, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL), ("text_encoder", CLIPTextModel))
    }
    for alias, layout in (("sd-1.5", "sd-1"), ("sd-2.1-base", "sd-2"))
}

EDITING: Mapping[str, Mapping[str, Maker]] = {"instruct-pix2pix": {**STABLE_DIFFUSION["sd-1.5"], "unet": pix2pix_unet}}
"""InstructPix2Pix: Stable Diffusion 1.5, of which the denoiser reads the latents of a picture, too."""
CONTROLS: Mapping[str, Mapping[str, Maker]] = {
    alias: {"controlnet": lambda: ControlNetModel(cross_attention_dim=768)}
    for alias in ("controlnet-normal", "controlnet-depth")
}
"""ControlNets for Stable Diffusion 1.5: their own network alone."""


def parameters_of(alias: str) -> dict[str, int]:
    """Return the number of values of each part: parameters, and the buffers that its files hold."""
    found: dict[str, int] = {}
    with torch.device("meta"):
        for part, make in {**PUBLISHED, **STABLE_DIFFUSION, **EDITING, **CONTROLS}[alias].items():
            network = make()
            named = dict(network.named_parameters(remove_duplicate=False))
            buffers = sum(value.numel() for name, value in network.state_dict().items() if name not in named)
            found[part] = buffers + sum(parameter.numel() for parameter in network.parameters())
    return found
