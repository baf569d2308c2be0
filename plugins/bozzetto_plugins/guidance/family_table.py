"""Families of models: how each is recognised before its weights are read, and whether it can guide. No torch.

To support a family, remove the `reason` of its row; `SINGLE_FILES` names the settings of its single files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bozzetto.errors import ModelError, OtherGuidanceError
from bozzetto.model_files import ModelFacts
from bozzetto.weights.folder import PROJECTIONS

VIDEO = "it makes videos, and a score needs a model of single images"
INPAINTING = "it is an inpainting model: it expects a mask and a masked image beside the noisy one (9 channels)"
DEPTH = "it expects a depth map beside the noisy image"
EDITING = "it edits an image, which it expects beside the noisy one (8 channels)"
NOT_EDITING = "its model edits a picture, which the denoiser is given beside the noisy one (8 channels)"
EDITING_SDXL = f"{EDITING}, and it is an SDXL; the guidance instruct-pix2pix reads those of Stable Diffusion alone"
EDITING_NOTHING = "its denoiser reads no 8 channels: it is not given the picture that such a model edits"
UPSCALING = "it enlarges an image that it expects beside the noisy one"
EDM = (
    "it is trained by EDM (Karras et al. 2022): its noise levels and the mean of its latents are of another form than "
    "those of this family"
)
SIX_VIEWS = "it draws six fixed views in one picture, and a score needs a model of single views"
PART = "it is a part of a pipeline, not a text-to-image model"
DISTILLED = (
    "it is distilled to few steps: it no longer predicts noise at every level of a text-conditioned diffusion, which "
    "score distillation relies on"
)
GUIDANCE_DISTILLED = (
    "its guidance is distilled into the network: there is no unconditional prediction for classifier-free guidance"
)


@dataclass(frozen=True)
class ModelFamily:
    """Models of one kind."""

    name: str
    pipelines: tuple[str, ...] = ()
    """Values of `_class_name` in `model_index.json`; `*` stands for any letters."""
    keys: tuple[str, ...] = ()
    """Names of tensors of which a single file has at least one."""
    settings: tuple[str, str, tuple[object, ...]] | None = None
    """Settings file of a folder, key, and values: one of them is required beside the pipeline."""
    shape: tuple[str, int, tuple[int, ...]] | None = None
    """Tensor of a single file, axis, and sizes: one of them is required beside the keys."""
    reason: str = ""
    """Why it cannot guide; empty: it can."""
    guidance: str = "stable-diffusion"
    """Guidance that it is a prior of."""
    apart: str = ""
    """Reason that other guidances give for refusing it; empty: that it is another family."""
    tool: str = ""
    """Program that converts its single files; empty: there is none, or they are read as they are."""


UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"
ATTENTION = f"{UNET}input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
"""Attention to the text in Stable Diffusion's single files; its last axis is the width of the text encoder."""
JOINT = "joint_blocks.0.context_block.adaLN_modulation.1.bias"
STABLE_DIFFUSION = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
CHANNELS = ("unet/config.json", "in_channels")
WIDTH = ("unet/config.json", "cross_attention_dim")
PRIOR, EDITOR, POSED = "diffusion-prior", "instruct-pix2pix", "zero123"
SECOND_CLIP = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"
"""A tensor of SDXL's second text encoder in single files."""

FAMILIES = (
    ModelFamily("an LCM", ("LatentConsistency*",), (f"{UNET}time_embed.cond_proj.weight",), reason=DISTILLED),
    ModelFamily(
        "Stable Diffusion inpainting", ("StableDiffusion*Inpaint*",), (FIRST,), shape=(FIRST, 1, (9,)),
        reason=INPAINTING,
    ),
    ModelFamily("Stable Diffusion inpainting", STABLE_DIFFUSION, settings=(*CHANNELS, (9,)), reason=INPAINTING),
    ModelFamily("Zero123++", ("Zero123Plus*",), reason=SIX_VIEWS),
    ModelFamily(
        "Zero123", ("Zero123Pipeline", "*Zero123*", "Zero1to3*"), ("cc_projection.weight",), guidance=POSED,
        tool="tools/convert_zero123.py",
    ),
    ModelFamily(
        "an SDXL that edits", ("*XL*InstructPix2Pix*",), (SECOND_CLIP,), shape=(FIRST, 1, (8,)), reason=EDITING_SDXL
    ),
    ModelFamily("an SDXL that edits", ("StableDiffusionXL*",), settings=(*CHANNELS, (8,)), reason=EDITING_SDXL),
    ModelFamily(
        "InstructPix2Pix", ("StableDiffusionInstructPix2PixPipeline", *STABLE_DIFFUSION), (FIRST,),
        settings=(*CHANNELS, (8,)), shape=(FIRST, 1, (8,)), guidance=EDITOR, apart=EDITING,
    ),
    ModelFamily(
        "InstructPix2Pix", ("*InstructPix2Pix*",), settings=(*CHANNELS, (None,)), guidance=EDITOR, apart=EDITING
    ),
    ModelFamily("an InstructPix2Pix", ("*InstructPix2Pix*",), reason=EDITING_NOTHING),
    ModelFamily(
        "an upscaler", ("*Upscale*", "IF*SuperResolution*"), (FIRST,), shape=(FIRST, 1, (7,)), reason=UPSCALING
    ),
    ModelFamily("Stable Diffusion depth", ("*Depth2Img*",), (FIRST,), shape=(FIRST, 1, (5,)), reason=DEPTH),
    ModelFamily(
        "a ControlNet", ("*ControlNet*",),
        ("control_model.time_embed.0.weight", "controlnet_cond_embedding.conv_in.weight"),
        reason=PART,
    ),
    ModelFamily(
        "SDXL refiner", ("StableDiffusionXLImg2ImgPipeline",),
        ("conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias",), reason=PART,
    ),
    ModelFamily("SDXL inpainting", ("StableDiffusionXL*",), settings=(*CHANNELS, (9,)), reason=INPAINTING),
    ModelFamily("Playground v2.5", keys=("edm_mean", "edm_std"), reason=EDM),
    ModelFamily("SDXL", ("StableDiffusionXL*",), (SECOND_CLIP,), guidance=PRIOR),
    ModelFamily(
        "ImageDream", ("ImageDreamPipeline",), (f"{UNET}image_embed.latents",), guidance="image-dream",
        tool="tools/convert_imagedream.py",
    ),
    ModelFamily(
        "MVDream", ("MVDreamPipeline",), (f"{UNET}camera_embed.0.weight",), guidance=PRIOR,
        tool="tools/convert_mvdream.py",
    ),
    ModelFamily("Stable Diffusion 3", ("StableDiffusion3*",), (f"{UNET}{JOINT}", JOINT), guidance=PRIOR),
    ModelFamily("FLUX.2-dev", ("Flux2Pipeline",), reason=GUIDANCE_DISTILLED),
    ModelFamily(
        "FLUX.2 klein", ("Flux2*",), settings=("model_index.json", "is_distilled", (True,)), reason=DISTILLED
    ),
    ModelFamily(
        "FLUX.2 klein base", ("Flux2Klein*",),
        (f"{UNET}single_stream_modulation.lin.weight", "single_stream_modulation.lin.weight"), guidance=PRIOR,
    ),
    ModelFamily(
        "FLUX.1-dev", ("Flux*",), (f"{UNET}guidance_in.in_layer.bias", "guidance_in.in_layer.bias"),
        settings=("transformer/config.json", "guidance_embeds", (True,)), reason=GUIDANCE_DISTILLED,
    ),
    ModelFamily(
        "FLUX.1-schnell", ("Flux*",),
        (f"{UNET}double_blocks.0.img_attn.norm.key_norm.scale", "double_blocks.0.img_attn.norm.key_norm.scale"),
        reason=DISTILLED,
    ),
    ModelFamily(
        "Z-Image", ("ZImage*",), (f"{UNET}layers.0.adaLN_modulation.0.weight", "layers.0.adaLN_modulation.0.weight"),
        guidance=PRIOR,
    ),
    ModelFamily("DeepFloyd IF", ("IFPipeline",), guidance=PRIOR),
    ModelFamily(
        "a video model",
        (
            "*Video*", "AnimateDiff*", "Wan*", "LTX*", "Mochi*", "CogVideo*", "Hunyuan*Video*", "Allegro*", "Latte*",
            "Cosmos*", "TextToVideo*", "SkyReels*",
        ),
        (
            "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe",
            f"{UNET}head.modulation", "head.modulation", f"{UNET}patchify_proj.weight", "patchify_proj.weight",
            f"{UNET}blocks.0.attn.qkv_x.weight", "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias",
            f"{UNET}input_blocks.1.0.time_stack.in_layers.0.weight",
        ),
        reason=VIDEO,
    ),
    ModelFamily("Stable Diffusion 2.x", keys=(ATTENTION,), shape=(ATTENTION, -1, (1024,))),
    ModelFamily("Stable Diffusion 1.x", keys=(ATTENTION,), shape=(ATTENTION, -1, (768,))),
    ModelFamily("Stable Diffusion 2.x", STABLE_DIFFUSION, settings=(*WIDTH, (1024,))),
    ModelFamily("Stable Diffusion 1.x", STABLE_DIFFUSION, settings=(*WIDTH, (768,))),
    ModelFamily("a latent diffusion model like Stable Diffusion", STABLE_DIFFUSION),
)  # fmt: skip
"""The first row that fits a model is its family."""

SINGLE_FILES: Mapping[str, str] = {
    "Stable Diffusion 1.x": "sd-1", "Stable Diffusion 2.x": "sd-2", "SDXL": "sdxl",
}  # fmt: skip
"""Folder of settings in `single_file_layouts`, by the name of a family whose single files are read."""

NEEDS: Mapping[str, str] = {EDITOR: NOT_EDITING, POSED: "its model is given a photo and a pose"}
"""Part that a guidance needs and the models of others lack."""
EXAMPLES: Mapping[str, str] = {EDITOR: "instruct-pix2pix", POSED: "bozzetto-mini-zero123 or zero123-xl"}
"""Models to choose in place of one that a guidance cannot use."""

DISTILLED_NAMES = re.compile(
    r"(?<![a-z])(sd[ -]?turbo|sdxl[ -]?turbo|turbo|lightning|lcm|schnell|dmd2?|hyper[ _-]?(sd(xl|15)?|vae)|instaflow"
    r"|\d[ _-]?steps?)(?![a-z])"
)
"""Words in the names of models that are distilled to few steps."""


def family_of(facts: ModelFacts, guidance: str = "stable-diffusion") -> ModelFamily:
    """Return the family of a model that can guide.

    Args:
        guidance: that is to be given the model.

    Raises:
        OtherGuidanceError: another guidance can use it.
        ModelError: it cannot guide, or is of no known family; the message starts with `model: ` and gives the reason.
    """
    found = next((family for family in FAMILIES if _fits(family, facts)), None)
    example = EXAMPLES.get(guidance, "bozzetto-mini or sd-1.5")
    cure = f"Choose another model, e.g. {example}; docs/priors.md lists what can guide."
    if found is None:
        said = _pipeline(facts)
        what = f"of the pipeline {said!r:.80}" if said else "of no known family"
        named = dict.fromkeys(family.pipelines[0] for family in FAMILIES if not family.reason and family.pipelines)
        pipelines = ", ".join(name for name in named if not name.startswith("*"))
        raise ModelError(f"model: {facts.name} is {what}, and the known ones are {pipelines}. {cure}")
    if found.reason:
        raise ModelError(f"model: {facts.name} is {found.name} and cannot guide: {found.reason}. {cure}")
    for reason, why in ((DISTILLED, _distilled(facts)), (EDM, _edm(facts))):
        if why:
            raise ModelError(f"model: {facts.name} is {found.name} and cannot guide: {reason} ({why}). {cure}")
    if found.guidance != guidance:
        apart, needs = (f": {why}" if why else "" for why in (found.apart, NEEDS.get(guidance, "")))
        instead = f", e.g. {EXAMPLES[guidance]}" if guidance in EXAMPLES else ""
        raise OtherGuidanceError(
            f"model: {facts.name} is {found.name}, for the guidance {found.guidance}{apart}; this is "
            f"{guidance}{needs}. Choose that guidance, or another model{instead}."
        )
    if facts.tensors and found.name not in SINGLE_FILES:
        how = f"Convert it with {found.tool}" if found.tool else "Give a folder in diffusers' format, or a repository"
        raise ModelError(f"model: {facts.name} is one file of {found.name}, which is not read. {how}.")
    return found


def posed_family(facts: ModelFacts) -> str:
    """Return the name of a family that is given a photo and a pose; pipelines of any name can hold its layers.

    Raises:
        ModelError: the model is of another family, or cannot guide; the message starts with `model: `.
    """
    cure = f"Choose another model, e.g. {EXAMPLES[POSED]}."
    if not any(f"{name}/config.json" in facts.settings for name in PROJECTIONS):
        found = family_of(facts, POSED)
        raise ModelError(
            f"model: {facts.name} is {found.name} without {' or '.join(PROJECTIONS)}, the layer that joins photo and "
            f"pose. {cure}"
        )
    reads, made = facts.setting(*CHANNELS), facts.setting("vae/config.json", "latent_channels")
    if isinstance(reads, int) and isinstance(made, int) and reads != 2 * made:
        raise ModelError(
            f"model: {facts.name} is given no photo: its denoiser reads {reads} channels, and one that is given a "
            f"photo beside the noisy one reads {2 * made}. {cure}"
        )
    return "Zero123"


def _fits(family: ModelFamily, facts: ModelFacts) -> bool:
    if facts.tensors:
        held = any(key in facts.tensors for key in family.keys)
        return held and (family.shape is None or _size(facts.tensors, *family.shape[:2]) in family.shape[2])
    said = _pipeline(facts)
    patterns = "|".join(re.escape(name).replace(r"\*", ".*") for name in family.pipelines)
    named = isinstance(said, str) and bool(patterns) and re.fullmatch(patterns, said) is not None
    return named and (family.settings is None or facts.setting(*family.settings[:2]) in family.settings[2])


def _pipeline(facts: ModelFacts) -> Any:
    """Return the class of the pipeline, or that of a single network, e.g. a ControlNet; None if neither is named."""
    return facts.setting("model_index.json", "_class_name") or facts.setting("config.json", "_class_name")


def _size(tensors: Mapping[str, tuple[int, ...]], name: str, axis: int) -> int | None:
    shape = tensors.get(name, ())
    return shape[axis] if -len(shape) <= axis < len(shape) else None


def _distilled(facts: ModelFacts) -> str:
    """Return the sign by which a model is recognised as distilled to few steps; empty if there is none."""
    if facts.setting("unet/config.json", "time_cond_proj_dim"):
        return "unet/config.json has time_cond_proj_dim"
    sampler = facts.setting("scheduler/scheduler_config.json", "_class_name")
    if sampler in ("LCMScheduler", "TCDScheduler"):
        return f"its sampler is {sampler}"
    found = distilled_word(re.split(r"[/\\]", facts.name.rstrip("/\\"))[-1])
    return f"its name says {found!r}; give a model that is not distilled another name" if found else ""


def distilled_word(name: str) -> str:
    """Return the word by which a name says that something is distilled to few steps; empty without one."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)  # `TurboMix` is two
    found = DISTILLED_NAMES.search(words.lower())
    return found[0] if found else ""


def _edm(facts: ModelFacts) -> str:
    """Return the sign by which a model is recognised as one of EDM; empty if there is none."""
    sampler = facts.setting("scheduler/scheduler_config.json", "_class_name")
    if str(sampler).startswith("EDM"):
        return f"its sampler is {sampler:.80}"
    shifted = facts.setting("vae/config.json", "latents_mean") is not None
    return "vae/config.json has latents_mean" if shifted else ""
