"""A few steps of each family of priors, with random weights made on the device: no download, no file of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from bozzetto.machine.accelerators import Accelerator
from bozzetto.model_files import read_settings
from bozzetto.registry.discovery import Registry
from bozzetto_plugins.guidance.diffusion_prior import DiffusionPrior
from bozzetto_plugins.guidance.model_families import networks
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout
from gpu_check.families import Family, write_settings
from gpu_check.models import fill
from gpu_check.recipes import begun, recipe_of
from gpu_check.steps import alone, measured

TEXT_TOKENS = 64
"""Tokens of a prompt that are not padding."""


def checked(
    family: Family, registry: Registry, folder: Path, found: Accelerator, device: torch.device, tiny: bool, steps: int
) -> dict[str, Any]:
    """Return a row of a family: seconds of a step, memory, and whether the numbers were finite."""

    def work() -> dict[str, Any]:
        model = write_settings(family, folder, tiny)
        recipe = recipe_of(family.recipe, registry, {"text": model, "photo": model}, folder, found, tiny)
        stage = recipe.stages[0]
        with random_networks(device) as made:
            loop = begun(stage, recipe, registry, device)
        return {"network_bytes": sum(made.values()), "networks": dict(made)} | measured(stage, loop, steps, device)

    return alone({"prior": family.name, "recipe": family.recipe}, work, device)


@contextmanager
def random_networks(device: torch.device) -> Iterator[dict[str, int]]:
    """Let guidances `diffusion-prior` be made with random networks and texts; yields the bytes of each network."""
    made: dict[str, int] = {}

    def load_part(path: Path, kind: str, dtype: torch.dtype) -> Any:
        network = random_network(kind, path, dtype, device)
        made[path.name] = sum(value.nbytes for value in network.parameters())
        return network

    def encode_text(prior: DiffusionPrior, texts: Sequence[str]) -> Tensor:
        layout = prior.networks.family.layout
        return layout.pack(random_words(layout, len(texts), device)).to(prior.networks.device)

    with (
        mock.patch.object(networks, "load_part", load_part),
        mock.patch.object(DiffusionPrior, "encode_text", encode_text),
        mock.patch.object(DiffusionPrior, "text_model_id", "random"),
    ):
        yield made


def random_network(kind: str, path: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """Return a network of diffusers with the settings of a folder, made on the device in its data type."""
    import diffusers

    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            network = getattr(diffusers, kind).from_config(dict(read_settings(path / "config.json")))
    finally:
        torch.set_default_dtype(usual)
    for name, value in network.named_parameters():
        fill(name, value.data)
    for value in network.buffers():
        if value.is_floating_point():
            value.data = value.data.to(dtype)
    return network.requires_grad_(False).eval()


def random_words(layout: WordsLayout, count: int, device: torch.device) -> Words:
    """Return texts of unit Gaussian numbers."""
    shape = (count, layout.length)
    return Words(
        torch.randn(*shape, layout.width, device=device) / math.sqrt(layout.width),
        torch.randn(count, layout.pooled, device=device) if layout.pooled else None,
        (torch.arange(layout.length, device=device) < TEXT_TOKENS).expand(shape) if layout.masked else None,
    )
