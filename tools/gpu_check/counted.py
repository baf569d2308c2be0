"""Memory of a step of each prior, worked out without a GPU: full-size networks without values (FakeTensorMode).

Shapes and lifetimes of the networks' tensors are those of a real step, with attention that keeps no matrix of weights.
The scene's memory is the estimate of a dry run.
"""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from bozzetto.kinds.kept_views import KeepsViews
from bozzetto.machine.accelerators import Accelerator
from bozzetto.machine.gpu_memory import CONTEXT_BYTES, gpu_memory
from bozzetto.math import constants
from bozzetto.recipe import Task
from bozzetto.registry.discovery import Registry
from bozzetto.testing.fakes import a_photo, cameras_around
from bozzetto.types import Rendered, ViewCondition
from bozzetto.weights.plans import further_models
from bozzetto_plugins.guidance.edited_views import EditedViews
from bozzetto_plugins.guidance.model_families import networks
from bozzetto_plugins.guidance.model_families.known import PIPELINES
from bozzetto_plugins.guidance.model_families.networks import FamilyNetworks
from gpu_check.families import IMAGEDREAM, Family
from gpu_check.priors import TEXT_TOKENS, Prior, prior_recipe, random_networks, random_words
from gpu_check.steps import last_milestone

NO_GPU = Accelerator("cpu", "nothing is computed")
BRANCHES = 2
"""Prompts of each view: with the text and without."""
BRANCHES_OF_EDITING = ("cond", "image", "uncond")


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


def checked(prior: Prior, registry: Registry, folder: Path, tiny: bool) -> dict[str, Any]:
    """Return a row of a prior: bytes of its recipe's largest step, worked out for torch kernels."""
    recipe = prior_recipe(prior, registry, folder, NO_GPU, tiny)
    stage = recipe.stages[0]
    task, memory = stage.tasks[0], gpu_memory(stage, {})
    views = (*task.views.config.size_at(last_milestone(stage)), 1)[0]
    if isinstance(prior, Family) and prior is not IMAGEDREAM:
        row = counted(prior, folder, views, task.guidance.config.image_size)
    else:
        row = counted_guidance(task, registry, folder, views)
    passing = max(row["kept_bytes"] + row["predicting_bytes"], row["encoding_bytes"], memory.passing)
    total = row["network_bytes"] + passing + memory.scene + memory.parameters + CONTEXT_BYTES
    named = {"prior": prior.name, "recipe": prior.recipe, "views": views}
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
        no_constants_kept(),
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


def counted_guidance(task: Task, registry: Registry, folder: Path, views: int) -> dict[str, Any]:
    """Return the bytes of a guidance's networks, and the most that its encoding and predicting take besides.

    A guidance without a score edits a picture of one view: it keeps nothing for a backward pass, and decodes what it
    predicts.

    Args:
        task: whose guidance is counted, in half precision.
        folder: of its settings.
        views: of a step.
    """
    device, component = torch.device("cpu"), task.guidance
    assert component is not None  # of a prior's task
    config = dataclasses.replace(component.config, dtype="float16")
    edits = task.score is None and "fixed-views" in component.entry.spec.needs
    views = 1 if edits else views
    told = cameras_around([0.0] * views)
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        mock.patch.object(nn.Module, "to", _converted),
        no_constants_kept(),
        mock.patch.object(EditedViews, "numbers_of", lambda kept, cameras: torch.arange(len(cameras))),
        random_networks(device) as made,
    ):
        source = registry.implementation("guidance", component.name)(config, folder, device)
        if further := further_models(component):
            source.use_models({name: Path(name) for name in further})
        cameras = dataclasses.replace(told, views_per_group=getattr(task.views.config, "views_per_group", 1))
        if isinstance(source, KeepsViews):
            source.keep(cameras)
        text = source.encode_text(["with words", ""])[:, None].expand(-1, views, -1, -1)
        prior = source.prior(ViewCondition(text[0], text[1], references=(a_photo(),)), cameras, 0)
        side = prior.denoiser.image_size
        image, flat = torch.zeros(views, *side, 3, requires_grad=not edits), torch.zeros(views, *side, 1)
        rendered = Rendered(image, flat, flat, torch.zeros(views, *side, 3))
        with Peak() as encoding:
            latents = prior.latents(rendered, torch.Generator())
            kept = 0 if edits else encoding.alive
            if not edits:
                latents.sum().backward()
        branches = BRANCHES_OF_EDITING if "image" in prior.branches else ("cond", "uncond")
        with Peak() as predicting:
            prior.predict(latents.detach(), torch.zeros(views).long(), branches)
            if edits:
                prior.decode(latents.detach())
    return {
        "image_size": side[0], "network_bytes": sum(made.values()), "kept_bytes": kept,
        "encoding_bytes": encoding.peak, "predicting_bytes": predicting.peak,
    }  # fmt: skip


def no_constants_kept() -> AbstractContextManager[object]:
    """Let constants be made at each use: those without values must not be kept for others."""
    return mock.patch.object(constants, "_made", constants._made.__wrapped__)


def _converted(module: nn.Module, *arguments: Any, device: Any = None, dtype: Any = None) -> nn.Module:
    """Change the data type of a module in place, as `Module.to` cannot do without values; it stays where it is."""
    dtype = next((value for value in (*arguments, dtype) if isinstance(value, torch.dtype)), None)
    for part in module.modules() if dtype is not None else ():
        for name, value in part._parameters.items():
            if value is not None and value.dtype != dtype:
                part._parameters[name] = nn.Parameter(value.detach().to(dtype), requires_grad=False)
    return module
