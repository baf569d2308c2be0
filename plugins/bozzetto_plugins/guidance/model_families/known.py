"""Families that the guidance `diffusion-prior` knows, by the pipeline that a model folder names. Imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bozzetto.errors import ModelError
from bozzetto.model_files import read_settings

__all__ = ["PIPELINES", "KnownFamily", "known_family", "pipeline_of"]

HERE = "bozzetto_plugins.guidance.model_families"


@dataclass(frozen=True)
class KnownFamily:
    """Facts of a family that a recipe is checked with."""

    name: str
    target: str
    """`module:class`, a `bozzetto_plugins.guidance.model_families.family.Family`."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """Class that the settings of each part must name, the denoiser's first."""
    half: Literal["float16", "bfloat16"] = "float16"
    """What `dtype: auto` means on an accelerator: the data type that the authors run it in."""
    guidance: str = "diffusion-prior"
    """Guidance that it is a prior of."""
    grouped: bool = False
    """True: it predicts all views of a group jointly."""
    long_text: Literal["none", "optional", "required"] = "none"
    """Whether prompts are also encoded by T5-XXL."""
    packages: tuple[str, ...] = ()
    """Packages that its tokenizer needs beside diffusers and transformers."""
    cure: str = "Choose another model."
    """What to do with a folder whose networks are of other classes."""

    @property
    def denoiser(self) -> str:
        """Folder of the denoiser."""
        return next(iter(self.classes))


UNET, KL = "UNet2DConditionModel", "AutoencoderKL"

PIPELINES: Mapping[str, KnownFamily] = {
    "StableDiffusionXLPipeline": KnownFamily("SDXL", f"{HERE}.sdxl:SDXL", {"unet": UNET, "vae": KL}),
    "MVDreamPipeline": KnownFamily(
        "MVDream", f"{HERE}.mvdream:MVDream", {"unet": UNET, "vae": KL}, grouped=True,
        cure="Convert the published file with tools/convert_mvdream.py.",
    ),
    "ImageDreamPipeline": KnownFamily(
        "ImageDream", f"{HERE}.imagedream:ImageDream", {"unet": UNET, "vae": KL}, guidance="image-dream", grouped=True,
        cure="Convert the published file with tools/convert_imagedream.py.",
    ),
    "StableDiffusion3Pipeline": KnownFamily(
        "Stable Diffusion 3", f"{HERE}.sd3:SD3", {"transformer": "SD3Transformer2DModel", "vae": KL}, "bfloat16",
        long_text="optional",
    ),
    "Flux2KleinPipeline": KnownFamily(
        "FLUX.2 klein base", f"{HERE}.flux2:Flux2Klein",
        {"transformer": "Flux2Transformer2DModel", "vae": "AutoencoderKLFlux2"}, "bfloat16",
    ),
    "ZImagePipeline": KnownFamily(
        "Z-Image", f"{HERE}.z_image:ZImage", {"transformer": "ZImageTransformer2DModel", "vae": KL}, "bfloat16"
    ),
    "IFPipeline": KnownFamily(
        "DeepFloyd IF", f"{HERE}.deepfloyd_if:DeepFloydIF", {"unet": UNET}, long_text="required",
        packages=("sentencepiece",),
    ),
}  # fmt: skip
"""Families by the `_class_name` of `model_index.json`."""


def pipeline_of(folder: Path) -> str:
    """Return the pipeline that a model folder names; empty without one.

    Raises:
        ModelError: `model_index.json` cannot be read.
    """
    path = folder / "model_index.json"
    named = read_settings(path).get("_class_name", "") if path.is_file() else ""
    return named if isinstance(named, str) else ""


def known_family(folder: Path, guidance: str = "diffusion-prior") -> KnownFamily:
    """Return the family of a model folder.

    Args:
        guidance: that is to be given the model.

    Raises:
        ModelError: it is of none that is known, of one that cannot be a prior, or of another guidance.
    """
    pipeline = pipeline_of(folder)
    if pipeline == "StableDiffusionPipeline":
        raise ModelError(f"{folder} is Stable Diffusion 1.x or 2.x. Use the guidance stable-diffusion, which knows it.")
    if pipeline not in PIPELINES:
        near = difflib.get_close_matches(pipeline, PIPELINES, n=1)
        hint = f" The nearest is {near[0]}." if near else ""
        raise ModelError(
            f"{folder}: model_index.json names the pipeline {pipeline!r:.80}, and the known ones are "
            f"{', '.join(PIPELINES)}.{hint} Choose a model of one of these."
        )
    found = PIPELINES[pipeline]
    if found.guidance != guidance:
        raise ModelError(f"{folder} is {found.name}. Use the guidance {found.guidance}, or choose another model.")
    return found
