"""A few steps of each prior, with random weights made on the device: no download, no file of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from bozzetto.engine.loop import Loop
from bozzetto.machine.accelerators import Accelerator
from bozzetto.model_files import read_settings
from bozzetto.recipe import Recipe, Stage
from bozzetto.registry.discovery import Registry
from bozzetto.weights.folder import IMAGE_PROMPT
from bozzetto_plugins.guidance import denoiser, photo_tokens
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.image_dream import ImageDream
from bozzetto_plugins.guidance.image_prompt import RESAMPLER
from bozzetto_plugins.guidance.instruct_pix2pix import InstructPix2Pix
from bozzetto_plugins.guidance.model_families import imagedream, networks
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion
from gpu_check.families import FAMILIES, Family
from gpu_check.latent_models import CONTROL, LATENT_MODELS, LatentModel
from gpu_check.models import fill
from gpu_check.recipes import begun, recipe_of
from gpu_check.steps import alone, measured

TEXT_TOKENS = 64
"""Tokens of a prompt that are not padding."""


Prior = Family | LatentModel
PRIORS: tuple[Prior, ...] = (*FAMILIES, *LATENT_MODELS)
"""What is checked, one after the other."""


def checked(
    prior: Prior, registry: Registry, folder: Path, found: Accelerator, device: torch.device, tiny: bool, steps: int
) -> dict[str, Any]:  # fmt: skip
    """Return a row of a prior: seconds of a step, memory, and whether the numbers were finite."""

    def work() -> dict[str, Any]:
        stage, loop, made = loop_of(prior, registry, folder, found, device, tiny)
        return {"network_bytes": sum(made.values()), "networks": made} | measured(stage, loop, steps, device)

    return alone({"prior": prior.name, "recipe": prior.recipe}, work, device)


def loop_of(
    prior: Prior, registry: Registry, folder: Path, found: Accelerator, device: torch.device, tiny: bool
) -> tuple[Stage, Loop, dict[str, int]]:
    """Return the first stage of a prior's recipe, its loop with random networks, and the bytes of each network.

    What the guidance keeps of the scene as it is before the first step is kept.
    """
    recipe = prior_recipe(prior, registry, folder, found, tiny)
    stage = recipe.stages[0]
    with random_networks(device) as made:
        loop = begun(stage, recipe, registry, device)
        loop.system.begin()
    return stage, loop, made


def prior_recipe(prior: Prior, registry: Registry, folder: Path, found: Accelerator, tiny: bool) -> Recipe:
    """Return the recipe of a prior, with the settings of its model in a folder."""
    model = prior.write(folder, tiny)
    models = {"text": model, "photo": model, "controls": model / CONTROL}
    return recipe_of(prior.recipe, registry, models, folder, found, tiny, prior.changes)


@contextmanager
def random_networks(device: torch.device) -> Iterator[dict[str, int]]:
    """Let guidances be made with random networks and texts; yields the bytes of each network."""
    made: dict[str, int] = {}

    def load_part(path: Path, kind: str, dtype: torch.dtype) -> Any:
        network = random_network(kind, path, dtype, device)
        made[path.name] = sum(value.nbytes for value in network.parameters())
        return network

    def load_network(path: Path, dtype: torch.dtype, kind: type | None = None) -> Any:
        named = read_settings(path / "config.json")["_class_name"] if kind is None else kind.__name__
        return load_part(path, named, dtype)

    def load_image_encoder(path: Path, dtype: torch.dtype) -> Any:
        return load_part(path, "CLIPVisionModel", dtype)

    def image_prompt_weights(folder: Path, prefix: str) -> dict[str, Tensor]:
        weights = random_image_prompt(folder, prefix, device)
        made[IMAGE_PROMPT] = made.get(IMAGE_PROMPT, 0) + sum(value.nbytes for value in weights.values())
        return weights

    def encode_packed(source: DiffusionPrior | ImageDream, texts: Sequence[str]) -> Tensor:
        layout = source.networks.family.layout
        return layout.pack(random_words(layout, len(texts), device)).to(source.networks.device)

    def encode_clip(source: StableDiffusion | InstructPix2Pix, texts: Sequence[str]) -> Tensor:
        layout = WordsLayout(source.text.positions, source.text.width)
        return layout.pack(random_words(layout, len(texts), device))

    with ExitStack() as patches:
        for module, function in (
            (networks, load_part), (denoiser, load_network), (photo_tokens, load_image_encoder),
            (photo_tokens, image_prompt_weights), (imagedream, image_prompt_weights),
        ):  # fmt: skip
            patches.enter_context(mock.patch.object(module, function.__name__, function))
        sources = {
            DiffusionPrior: encode_packed, ImageDream: encode_packed, StableDiffusion: encode_clip,
            InstructPix2Pix: encode_clip,
        }  # fmt: skip
        for source, encode in sources.items():
            patches.enter_context(mock.patch.object(source, "encode_text", encode))
            patches.enter_context(mock.patch.object(source, "text_model_id", "random"))
        yield made


def random_network(kind: str, path: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """Return a network of diffusers, or CLIP's vision tower, with the settings of a folder, made on the device."""
    import diffusers
    import transformers

    settings = dict(read_settings(path / "config.json"))
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            network: Any = (
                transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**settings))
                if kind == "CLIPVisionModel"
                else getattr(diffusers, kind).from_config(settings)
            )
    finally:
        torch.set_default_dtype(usual)
    for name, value in network.named_parameters():
        fill(name, value.data)
    for value in network.buffers():
        if value.is_floating_point():
            value.data = value.data.to(dtype)
    return network.requires_grad_(False).eval()


def random_image_prompt(folder: Path, prefix: str, device: torch.device) -> dict[str, Tensor]:
    """Return weights of the resampler, or of a denoiser's layers that attend to a photo's tokens, in half precision."""
    from diffusers import UNet2DConditionModel
    from diffusers.models.embeddings import IPAdapterPlusImageProjection

    with torch.device("meta"):
        if prefix == RESAMPLER:
            settings = read_settings(folder / IMAGE_PROMPT / "config.json")
            resampler = IPAdapterPlusImageProjection(**{name: settings[name] for name in photo_tokens.SIZES})
            shapes = {name: value.shape for name, value in resampler.state_dict().items()}
        else:
            unet: Any = UNet2DConditionModel.from_config(dict(read_settings(folder / "unet" / "config.json")))
            shapes = {
                f"{name}.{part}.weight": unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape
                for name in unet.attn_processors
                if name.endswith("attn2.processor")
                for part in ("to_k_ip", "to_v_ip")
            }
    made = {name: torch.empty(shape, dtype=torch.float16, device=device) for name, shape in shapes.items()}
    for name, value in made.items():
        fill(name, value)
    return made


def random_words(layout: WordsLayout, count: int, device: torch.device) -> Words:
    """Return texts of unit Gaussian numbers."""
    shape = (count, layout.length)
    return Words(
        torch.randn(*shape, layout.width, device=device) / math.sqrt(layout.width),
        torch.randn(count, layout.pooled, device=device) if layout.pooled else None,
        (torch.arange(layout.length, device=device) < TEXT_TOKENS).expand(shape) if layout.masked else None,
    )
