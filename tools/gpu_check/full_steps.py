"""A step of a real recipe, profile `cuda`, with networks of full size and random weights, on a CPU; takes minutes.

Nothing of it is about speed: sizes, views and every operation are those of a GPU's first step, in float32.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bozzetto.machine.accelerators import Accelerator
from bozzetto.registry.discovery import Registry
from gpu_check.models import OLD_TEXT_UNET, TEXT_UNET, text_model
from gpu_check.recipes import begun, recipe_of

MODELS: Mapping[str, Mapping[str, Any]] = {"sd-2.1-base": TEXT_UNET, "sd-1.5": OLD_TEXT_UNET}
"""Settings of the denoiser, by the alias whose sizes they are."""
RECIPE = "dreamfusion-sd"
NO_GPU = Accelerator("cpu", "a step is taken in main memory")


def checked(alias: str, registry: Registry, folder: Path, tiny: bool) -> list[dict[str, Any]]:
    """Return a row of one step with a model of the sizes of `alias`."""
    models = {"text": text_model(folder, not tiny, MODELS[alias]), "photo": folder}
    recipe = recipe_of(RECIPE, registry, models, folder, NO_GPU, tiny)
    loop = begun(recipe.stages[0], recipe, registry, torch.device("cpu"))
    start = time.perf_counter()
    loop.step()
    row = {"recipe": RECIPE, "profile": recipe.profile, "model": alias, "s_per_step": time.perf_counter() - start}
    norm = loop.system.metrics["gradient_norm"]  # reading it raises what was not finite
    return [row | {"gradient_norm": norm, "finite": norm > 0.0}]
