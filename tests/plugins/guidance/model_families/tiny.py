"""Tiny random models of each family, as diffusers writes them: the pipeline itself, and its folder."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    DDIMScheduler,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    IFPipeline,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
)

from bozzetto.testing.fakes import TEXT_LENGTH, tiny_stable_diffusion

SD_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}{% if enable_thinking %}?{% endif %}"


def clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """Return the tokenizer of the smallest Stable Diffusion."""
    return CLIPTokenizer.from_pretrained(tiny_stable_diffusion(folder / "sd") / "tokenizer")


def letter_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of one token per character, with a chat template."""
    letters = {letter: index + 3 for index, letter in enumerate(string.printable)}
    raw = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, **letters}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", chat_template=TEMPLATE
    )


def clip(tokenizer: Any, width: int, kind: Any, projection: int = 16) -> Any:
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3,
            num_attention_heads=2, max_position_embeddings=TEXT_LENGTH, projection_dim=projection,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def t5(tokenizer: Any) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer), d_model=32, d_ff=32, d_kv=8, num_heads=2, num_layers=1,
            feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, dropout_rate=0.0,
        )
    )  # fmt: skip


def qwen(tokenizer: Any, layers: int) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip


def codec(channels: int = 4, kind: Any = AutoencoderKL, **values: Any) -> Any:
    """Return an image encoder that halves the sides."""
    return kind(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), layers_per_block=1, latent_channels=channels, norm_num_groups=4, **values,
    )  # fmt: skip


def sdxl(folder: Path, **values: Any) -> Any:
    """Return an SDXL of 16-pixel images."""
    torch.manual_seed(0)
    tokenizer = clip_tokenizer(folder)
    unet = UNet2DConditionModel(
        sample_size=8, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), block_out_channels=(8, 16), layers_per_block=1,
        cross_attention_dim=24, attention_head_dim=(2, 4), transformer_layers_per_block=(1, 2), norm_num_groups=4,
        addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=20 + 48,
        use_linear_projection=True,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        codec(scaling_factor=0.13025, force_upcast=True), clip(tokenizer, 16, CLIPTextModel),
        clip(tokenizer, 8, CLIPTextModelWithProjection, 20), tokenizer, tokenizer, unet, DDIMScheduler(**SD_BETAS),
        **values,
    )  # fmt: skip


MVDREAM_UNET = {
    "sample_size": 8, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "block_out_channels": (8, 16), "layers_per_block": 1,
    "cross_attention_dim": 16, "attention_head_dim": (2, 4), "norm_num_groups": 4, "use_linear_projection": True,
    "class_embed_type": "projection", "projection_class_embeddings_input_dim": 16,
}  # fmt: skip


def mvdream(folder: Path) -> Path:
    """Write an MVDream of 16-pixel images and return its folder."""
    torch.manual_seed(0)
    made = tiny_stable_diffusion(folder)
    UNet2DConditionModel(**MVDREAM_UNET).save_pretrained(made / "unet")
    codec(force_upcast=False).save_pretrained(made / "vae")
    (made / "model_index.json").write_text(json.dumps({"_class_name": "MVDreamPipeline"}), encoding="utf-8")
    return made


def stock_pipeline(folder: Path) -> Any:
    """Return diffusers' pipeline of the parts of an MVDream or ImageDream, for which diffusers has no own."""
    return StableDiffusionPipeline(
        AutoencoderKL.from_pretrained(folder / "vae"), CLIPTextModel.from_pretrained(folder / "text_encoder"),
        CLIPTokenizer.from_pretrained(folder / "tokenizer"), UNet2DConditionModel.from_pretrained(folder / "unet"),
        DDIMScheduler.from_pretrained(folder / "scheduler", clip_sample=False), None, None, requires_safety_checker=False,
    )  # fmt: skip


IMAGE_PROMPT = {
    "embed_dims": 8, "output_dims": 16, "hidden_dims": 12, "depth": 2, "dim_head": 4, "heads": 3, "num_queries": 3,
    "ffn_ratio": 2, "photo_is_a_view": True,
}  # fmt: skip
"""Settings of the tiny resampler."""


def imagedream(folder: Path, photo_is_a_view: bool = True) -> Path:
    """Write an ImageDream of 16-pixel images and return its folder."""
    made = mvdream(folder)
    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=16, patch_size=8
    )
    CLIPVisionModel(vision).save_pretrained(made / "image_encoder")
    settings = {**IMAGE_PROMPT, "photo_is_a_view": photo_is_a_view}
    resampler = IPAdapterPlusImageProjection(**{k: v for k, v in settings.items() if k != "photo_is_a_view"})
    weights = {f"resampler.{name}": value for name, value in resampler.state_dict().items()}
    unet = UNet2DConditionModel.from_pretrained(made / "unet")
    for name in unet.attn_processors:
        if name.endswith("attn2.processor"):
            width = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
            for key in ("to_k_ip", "to_v_ip"):
                weights[f"attention.{name}.{key}.weight"] = torch.randn(width, 16)
    (made / "image_prompt").mkdir()
    save_file(weights, made / "image_prompt" / "diffusion_pytorch_model.safetensors")
    (made / "image_prompt" / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    (made / "model_index.json").write_text(json.dumps({"_class_name": "ImageDreamPipeline"}), encoding="utf-8")
    return made


def sd3(folder: Path) -> Any:
    """Return a Stable Diffusion 3.5 of 16-pixel images."""
    torch.manual_seed(0)
    tokenizer, letters = clip_tokenizer(folder), letter_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=36, out_channels=4,
        pos_embed_max_size=8, dual_attention_layers=(0,), qk_norm="rms_norm",
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer, FlowMatchEulerDiscreteScheduler(shift=3.0), codec(scaling_factor=1.5305, shift_factor=0.0609),
        clip(tokenizer, 16, CLIPTextModelWithProjection, 16), tokenizer,
        clip(tokenizer, 8, CLIPTextModelWithProjection, 20), tokenizer, t5(letters), letters,
    )  # fmt: skip


def flux2(folder: Path, distilled: bool = False) -> Any:
    """Return a FLUX.2 klein base of 16-pixel images."""
    torch.manual_seed(0)
    letters = letter_tokenizer()
    transformer = Flux2Transformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=48, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    vae = codec(kind=AutoencoderKLFlux2, sample_size=16)
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2.0)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    encoder = Qwen3ForCausalLM(qwen(letters, 28))
    return Flux2KleinPipeline(scheduler, vae, encoder, letters, transformer, is_distilled=distilled)


def z_image(folder: Path) -> Any:
    """Return a Z-Image; images of 16 pixels suffice."""
    torch.manual_seed(0)
    letters = letter_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=4, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
        axes_dims=[4, 6, 6], axes_lens=[1024, 64, 64],
    )  # fmt: skip
    for name, parameter in transformer.named_parameters():
        if "pad_token" in name:  # not initialised by diffusers
            nn.init.normal_(parameter, std=0.02)
    return ZImagePipeline(
        FlowMatchEulerDiscreteScheduler(shift=6.0), codec(scaling_factor=0.3611, shift_factor=0.1159),
        Qwen3Model(qwen(letters, 3)), letters, transformer,
    )  # fmt: skip


def deepfloyd_if(folder: Path) -> Any:
    """Return a first stage of DeepFloyd IF for images of 8 pixels."""
    torch.manual_seed(0)
    letters = letter_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=3, out_channels=6, layers_per_block=1, block_out_channels=(32, 64),
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), cross_attention_dim=32,
        encoder_hid_dim=32, attention_head_dim=8, addition_embed_type="text", addition_embed_type_num_heads=2,
        cross_attention_norm="group_norm", resnet_time_scale_shift="scale_shift", act_fn="gelu",
    )  # fmt: skip
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", variance_type="learned_range")
    return IFPipeline(letters, t5(letters), unet, scheduler, None, None, None, requires_safety_checker=False)


def saved(pipeline: Any, folder: Path) -> Path:
    """Write a pipeline and return its folder."""
    pipeline.save_pretrained(folder)
    return folder
