"""Memory of a step of each family, worked out without a GPU: full-size networks without values (FakeTensorMode).

Shapes and lifetimes of the networks' tensors are those of a real step, with attention that keeps no matrix of weights.
The scene's memory is the estimate of a dry run.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from bozzetto.machine.accelerators import Accelerator
from bozzetto.machine.gpu_memory import CONTEXT_BYTES, gpu_memory
from bozzetto.registry.discovery import Registry
from bozzetto.testing.fakes import cameras_around
from bozzetto_plugins.guidance.model_families import networks
from bozzetto_plugins.guidance.model_families.known import PIPELINES
from bozzetto_plugins.guidance.model_families.networks import FamilyNetworks
from gpu_check.families import Family, write_settings
from gpu_check.priors import TEXT_TOKENS, random_networks, random_words
from gpu_check.recipes import recipe_of
from gpu_check.steps import last_milestone

NO_GPU = Accelerator("cpu", "nothing is computed")
BRANCHES = 2
"""Prompts of each view: with the text and without."""


class Peak(TorchDispatchMode):
    """Counts the bytes of storages that are made within it and live at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.alive, self.peak = 0, 0
        self.known = WeakIdKeyDictionary()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        taken = {id(tensor.untyped_storage()) for tensor in tree_leaves((arguments, keywords)) if _is(tensor)}
        out = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(out):
            if _is(tensor) and id(tensor.untyped_storage()) not in taken:
                self._see(tensor.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        if storage in self.known:
            return
        size = storage.nbytes()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        self.known[storage] = _Held(self, size)


class _Held:
    """Gives its bytes back when the storage that it belongs to is freed."""

    def __init__(self, peak: Peak, size: int) -> None:
        self.peak, self.size = peak, size

    def __del__(self) -> None:
        self.peak.alive -= self.size


def _is(value: object) -> bool:
    return isinstance(value, Tensor)


def checked(family: Family, registry: Registry, folder: Path, tiny: bool) -> dict[str, Any]:
    """Return a row of a family: bytes of its recipe's largest step, worked out for torch kernels."""
    model = write_settings(family, folder, tiny)
    recipe = recipe_of(family.recipe, registry, {"text": model, "photo": model}, folder, NO_GPU, tiny)
    stage = recipe.stages[0]
    config, memory = stage.tasks[0].guidance.config, gpu_memory(stage, {})
    views = (*stage.tasks[0].views.config.size_at(last_milestone(stage)), 1)[0]
    row = counted(family, model, views, config.image_size)
    passing = max(row["kept_bytes"] + row["predicting_bytes"], row["encoding_bytes"])
    total = row["network_bytes"] + passing + memory.scene + memory.parameters + CONTEXT_BYTES
    named = {"prior": family.name, "recipe": family.recipe, "views": views}
    return named | row | {"scene_bytes": memory.scene, "total_bytes": total}


def counted(family: Family, model: Path, views: int, image_size: int | None) -> dict[str, Any]:
    """Return the bytes of a family's networks, and the most that encoding and predicting take besides.

    Args:
        model: folder of its settings.
        views: of a step.
        image_size: side of the images given to the model, pixels; None: what it was trained on.
    """
    known, device = PIPELINES[family.pipeline], torch.device("cpu")
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        mock.patch.object(networks, "place", lambda *_: lambda: None),  # they stay where they are
        mock.patch.object(FakeTensor, "tolist", lambda counts: [TEXT_TOKENS] * len(counts)),  # Z-Image reads its texts'
        random_networks(device) as made,
    ):
        parts = FamilyNetworks(model, known, device, getattr(torch, known.half), image_size=image_size)
        image = torch.zeros(views, 3, *parts.image_size, requires_grad=True)
        with Peak() as encoding:
            latents = parts.encode(image, torch.zeros(views, parts.latent_channels, *parts.latent_size))
            kept = encoding.alive
            latents.sum().backward()
        rows = BRANCHES * views
        text = parts.family.layout.pack(random_words(parts.family.layout, rows, device))
        cameras = dataclasses.replace(cameras_around([0.0] * views), views_per_group=views if known.grouped else 1)
        with Peak() as predicting:
            parts.predict(latents.detach().repeat(BRANCHES, 1, 1, 1), torch.zeros(rows).long(), text, cameras)
    return {
        "image_size": parts.image_size[0], "network_bytes": sum(made.values()), "kept_bytes": kept,
        "encoding_bytes": encoding.peak, "predicting_bytes": predicting.peak,
    }  # fmt: skip
