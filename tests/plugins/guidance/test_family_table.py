"""Tests of the families: what each kind of model says of itself, as tiny settings and headers; no network."""

from __future__ import annotations

from typing import Any

import pytest

from bozzetto.errors import ModelError, OtherGuidanceError
from bozzetto.model_files import ModelFacts
from bozzetto_plugins.guidance.family_table import (
    ATTENTION,
    DEPTH,
    DISTILLED,
    EDITING,
    EDITING_NOTHING,
    EDITING_SDXL,
    EDM,
    FAMILIES,
    FIRST,
    GUIDANCE_DISTILLED,
    INPAINTING,
    NOT_EDITING,
    PART,
    SECOND_CLIP,
    SIX_VIEWS,
    UNET,
    UPSCALING,
    VIDEO,
    family_of,
    posed_family,
)  # fmt: skip

SD, SDXL = "StableDiffusionPipeline", "StableDiffusionXLPipeline"
PIX2PIX, EDITOR = "StableDiffusionInstructPix2PixPipeline", "instruct-pix2pix"
UNET_OF_1: dict[str, Any] = {"in_channels": 4, "cross_attention_dim": 768}


def folder(pipeline: str, name: str = "mine", **settings: dict[str, Any]) -> ModelFacts:
    """Return the facts of a folder; keyword arguments are the settings of its parts."""
    files = {
        f"{part}/{'scheduler_config' if part == 'scheduler' else 'config'}.json": v for part, v in settings.items()
    }
    return ModelFacts(name, {"model_index.json": {"_class_name": pipeline}, **files})


def file(name: str = "mine.safetensors", channels: int = 4, width: int = 768, **more: tuple[int, ...]) -> ModelFacts:
    """Return the facts of a single file of Stable Diffusion."""
    return ModelFacts(name, tensors={FIRST: (320, channels, 3, 3), ATTENTION: (320, width), **more})


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (folder(SD, unet=UNET_OF_1), "Stable Diffusion 1.x"),
        (folder(SD, unet={"in_channels": 4, "cross_attention_dim": 1024}), "Stable Diffusion 2.x"),
        (
            folder(SD, unet={"in_channels": 4, "cross_attention_dim": 16}),
            "a latent diffusion model like Stable Diffusion",
        ),
        (folder(SD), "a latent diffusion model like Stable Diffusion"),
        (folder(SD, "owner/turbulence-hyperrealistic", unet=UNET_OF_1), "Stable Diffusion 1.x"),
        (file(), "Stable Diffusion 1.x"),
        (file(width=1024), "Stable Diffusion 2.x"),
    ],
)
def test_what_can_guide_is_named(facts: ModelFacts, name: str) -> None:
    assert family_of(facts).name == name


NO = {
    "inpainting": (folder("StableDiffusionInpaintPipeline"), INPAINTING),
    "inpainting of SDXL": (folder("StableDiffusionXLInpaintPipeline"), INPAINTING),
    "inpainting by channels": (folder(SD, unet={"in_channels": 9}), INPAINTING),
    "inpainting in a file": (file(channels=9), INPAINTING),
    "depth": (folder("StableDiffusionDepth2ImgPipeline"), DEPTH),
    "depth in a file": (file(channels=5, width=1024), DEPTH),
    "pix2pix of 4 channels": (folder(PIX2PIX, unet=UNET_OF_1), EDITING_NOTHING),
    "pix2pix of SDXL": (folder("StableDiffusionXLInstructPix2PixPipeline"), EDITING_SDXL),
    "pix2pix of SDXL by channels": (folder(SDXL, unet={"in_channels": 8}), EDITING_SDXL),
    "pix2pix of SDXL in a file": (file(channels=8, **{SECOND_CLIP: (1,)}), EDITING_SDXL),
    "upscaler": (folder("StableDiffusionUpscalePipeline"), UPSCALING),
    "upscaler in a file": (file(channels=7, width=1024), UPSCALING),
    "LCM": (folder("LatentConsistencyModelPipeline"), DISTILLED),
    "LCM by its network": (folder(SD, unet={**UNET_OF_1, "time_cond_proj_dim": 256}), DISTILLED),
    "LCM by its sampler": (folder(SD, unet=UNET_OF_1, scheduler={"_class_name": "LCMScheduler"}), DISTILLED),
    "turbo": (folder(SD, "stabilityai/sd-turbo", unet=UNET_OF_1), DISTILLED),
    "Hyper": (file("Hyper-SD15-8steps.safetensors"), DISTILLED),
    "lightning": (file("style_lightning_4step.safetensors"), DISTILLED),
    "Hyper of Civitai": (file("realisticVisionV60B1_v51HyperVAE.safetensors"), DISTILLED),
    "Turbo of Civitai": (file("mine_v21TurboDPMSDE.safetensors"), DISTILLED),
    "schnell": (folder("FluxPipeline", transformer={"guidance_embeds": False}), DISTILLED),
    "FLUX.1-dev": (folder("FluxPipeline", transformer={"guidance_embeds": True}), GUIDANCE_DISTILLED),
    "FLUX.1-dev in a file": (ModelFacts("f", tensors={"guidance_in.in_layer.bias": (3072,)}), GUIDANCE_DISTILLED),
    "ControlNet": (ModelFacts("c", tensors={"control_model.time_embed.0.weight": (1,)}), PART),
    "video": (folder("WanPipeline"), VIDEO),
    "video by Stable Diffusion": (folder("StableVideoDiffusionPipeline"), VIDEO),
    "AnimateDiff": (folder("AnimateDiffPipeline"), VIDEO),
    "video in a file": (ModelFacts("v", tensors={f"{UNET}head.modulation": (1,)}), VIDEO),
    "SDXL inpainting by channels": (folder(SDXL, unet={"in_channels": 9}), INPAINTING),
    "SDXL refiner": (folder("StableDiffusionXLImg2ImgPipeline"), PART),
    "SDXL-Turbo": (folder(SDXL, "stabilityai/sdxl-turbo"), DISTILLED),
    "SDXL-Turbo in a file": (ModelFacts("sd_xl_turbo_1.0.safetensors", tensors={SECOND_CLIP: (1,)}), DISTILLED),
    "LCM of SDXL": (folder(SDXL, unet={"time_cond_proj_dim": 256}), DISTILLED),
    "SD3.5-turbo": (folder("StableDiffusion3Pipeline", "stabilityai/stable-diffusion-3.5-large-turbo"), DISTILLED),
    "FLUX.2-dev": (folder("Flux2Pipeline"), GUIDANCE_DISTILLED),
    "FLUX.2 klein": (
        ModelFacts("k", {"model_index.json": {"_class_name": "Flux2KleinPipeline", "is_distilled": True}}), DISTILLED,
    ),
    "Z-Image-Turbo": (folder("ZImagePipeline", "Tongyi-MAI/Z-Image-Turbo"), DISTILLED),
    "Playground v2.5": (folder(SDXL, scheduler={"_class_name": "EDMDPMSolverMultistepScheduler"}), EDM),
    "Playground v2.5 by its image encoder": (folder(SDXL, vae={"latents_mean": [-1.6, 1.1, 1.2, 1.3]}), EDM),
    "Playground v2.5 in a file": (ModelFacts("p", tensors={"edm_mean": (4,), SECOND_CLIP: (1280,)}), EDM),
    "Zero123++": (folder("Zero123PlusPipeline"), SIX_VIEWS),
    "IF's upscaler": (folder("IFSuperResolutionPipeline"), UPSCALING),
}  # fmt: skip


@pytest.mark.parametrize("guidance", ["stable-diffusion", "diffusion-prior", "image-dream", "zero123", EDITOR])
@pytest.mark.parametrize(("facts", "reason"), NO.values(), ids=NO)
def test_what_cannot_guide_is_refused_with_the_reason(facts: ModelFacts, reason: str, guidance: str) -> None:
    with pytest.raises(ModelError) as caught:
        family_of(facts, guidance)
    assert not isinstance(caught.value, OtherGuidanceError)
    assert str(caught.value).startswith(f"model: {facts.name} is ") and reason in str(caught.value)


OTHERS = {
    "SDXL": folder(SDXL), "MVDream": folder("MVDreamPipeline"), "Stable Diffusion 3": folder("StableDiffusion3Pipeline"),
    "FLUX.2 klein base": folder("Flux2KleinPipeline"), "Z-Image": folder("ZImagePipeline"),
    "DeepFloyd IF": folder("IFPipeline"),
}  # fmt: skip


def test_a_normal_image_encoder_is_not_taken_for_edm() -> None:
    assert family_of(folder(SDXL, vae={"latents_mean": None}), "diffusion-prior").name == "SDXL"


@pytest.mark.parametrize("projection", ["clip_camera_projection", "cc_projection"])
def test_what_is_given_a_photo_and_a_pose_is_named_by_its_layer(projection: str) -> None:
    posed = folder("Zero123Pipeline", unet={"in_channels": 8}, vae={"latent_channels": 4}, **{projection: {}})
    assert posed_family(posed) == "Zero123"
    assert posed_family(folder("MinePipeline", **{projection: {}})) == "Zero123"
    with pytest.raises(OtherGuidanceError, match="is Zero123, for the guidance zero123; this is stable-diffusion"):
        family_of(posed)
    with pytest.raises(ModelError, match=r"one file of Zero123, which is not read. Convert it with tools/convert_zero"):
        family_of(file(channels=8, **{"cc_projection.weight": (768, 772)}), "zero123")


@pytest.mark.parametrize(("name", "facts"), OTHERS.items(), ids=OTHERS)
def test_families_of_another_guidance_name_it(name: str, facts: ModelFacts) -> None:
    assert family_of(facts, "diffusion-prior").name == name
    with pytest.raises(OtherGuidanceError, match=f"is {name}, for the guidance diffusion-prior; this is stable-diff"):
        family_of(facts)


EDITORS = {
    "by its pipeline": folder(PIX2PIX), "by its channels": folder(SD, "owner/mine", unet={"in_channels": 8}),
    "both": folder(PIX2PIX, unet={"in_channels": 8, "cross_attention_dim": 768}), "in a file": file(channels=8),
}  # fmt: skip


@pytest.mark.parametrize("guidance", ["stable-diffusion", "diffusion-prior", "image-dream"])
@pytest.mark.parametrize("facts", EDITORS.values(), ids=EDITORS)
def test_what_edits_pictures_is_for_its_own_guidance_with_the_reason(facts: ModelFacts, guidance: str) -> None:
    with pytest.raises(OtherGuidanceError) as caught:
        family_of(facts, guidance)
    assert f"is InstructPix2Pix, for the guidance {EDITOR}: {EDITING}; this is {guidance}." in str(caught.value)
    if facts.tensors:
        with pytest.raises(
            ModelError, match=r"is one file of InstructPix2Pix, which is not read. Give a folder in dif"
        ):
            family_of(facts, EDITOR)
    else:
        assert family_of(facts, EDITOR).name == "InstructPix2Pix"


PLAIN = {
    "Stable Diffusion 1.x": folder(SD, unet=UNET_OF_1), "Stable Diffusion 2.x": file(width=1024), **OTHERS,
    "ImageDream": folder("ImageDreamPipeline"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "facts"), PLAIN.items(), ids=PLAIN)
def test_what_edits_no_pictures_is_refused_by_instruct_pix2pix_with_the_reason(name: str, facts: ModelFacts) -> None:
    with pytest.raises(OtherGuidanceError) as caught:
        family_of(facts, EDITOR)
    said = str(caught.value)
    assert f"is {name}, for the guidance " in said and f"this is {EDITOR}: {NOT_EDITING}." in said
    assert said.endswith("Choose that guidance, or another model, e.g. instruct-pix2pix.")


def test_files_of_other_families_say_what_to_do() -> None:
    assert family_of(ModelFacts("x", tensors={SECOND_CLIP: (1280,)}), "diffusion-prior").name == "SDXL"
    with pytest.raises(ModelError, match=r"one file of MVDream, which is not read. Convert it with tools/convert_mvd"):
        family_of(file(width=1024, **{f"{UNET}camera_embed.0.weight": (1280, 16)}), "diffusion-prior")
    with pytest.raises(ModelError, match=r"one file of ImageDream, which is not read. Convert it with tools/convert_i"):
        family_of(ModelFacts("x", tensors={f"{UNET}image_embed.latents": (1, 16, 1024)}), "image-dream")
    with pytest.raises(ModelError, match=r"one file of Z-Image, which is not read. Give a folder in diffusers' format"):
        family_of(ModelFacts("x", tensors={"layers.0.adaLN_modulation.0.weight": (1,)}), "diffusion-prior")


def test_what_is_unknown_is_named() -> None:
    with pytest.raises(ModelError, match=r"is of the pipeline 'KandinskyPipeline', and the known ones are Zero123Pip"):
        family_of(folder("KandinskyPipeline"))
    with pytest.raises(ModelError, match="is of no known family"):
        family_of(ModelFacts("x", tensors={"weight": (1,)}))


def test_every_family_can_be_recognised() -> None:
    assert all(family.pipelines or family.keys for family in FAMILIES)
    assert all(family.settings is None or family.pipelines for family in FAMILIES)
    assert all(family.shape is None or family.keys for family in FAMILIES)
