"""Modules that guidances and scores train or keep, and the check that they train nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from bozzetto.engine.scored import Scored
from bozzetto.errors import ConfigError
from bozzetto.kinds.guidance import Guidance
from bozzetto.kinds.kept_views import KeepsViews
from bozzetto.kinds.trainable import Trainable

PREFIX = "guided"
"""Name of the submodule of a system that holds them, by task."""
CONTAINERS = (list, tuple, set, frozenset)


def trainable_of(guidance: Guidance | None) -> Trainable | None:
    """Return the score of a task, or else its guidance, if it trains a module."""
    part = guidance.score if isinstance(guidance, Scored) else guidance
    return part if isinstance(part, Trainable) and part.trainable() is not None else None


def keeper_of(guidance: Guidance | None) -> KeepsViews | None:
    """Return the guidance of a task, with or without a score, if it keeps something of its views."""
    part = guidance.guidance if isinstance(guidance, Scored) else guidance
    return part if isinstance(part, KeepsViews) else None


def keep_beside(whole: nn.Module, kept: Mapping[str, nn.Module]) -> None:
    """Add to what `trained_modules` returned what guidances keep, by task.

    Raises:
        ConfigError: it holds parameters, or the task trains a module, too.
    """
    for task, module in kept.items():
        if task in whole._modules or any(True for _ in module.parameters()):
            raise ConfigError(
                f"system.tasks.{task}: what the guidance keeps of its views must be buffers alone, and in a task that "
                "trains no module beside the scene."
            )
        whole._modules[task] = module


def trained_modules(guidances: Mapping[str, Guidance]) -> nn.Module:
    """Return a module with the trained module of each task.

    Raises:
        ConfigError: a module holds frozen parameters, or a guidance has others that require gradients.
    """
    whole = nn.Module()
    for task, guidance in guidances.items():
        trainable = trainable_of(guidance)
        module = None if trainable is None else trainable.trainable()
        if module is not None:
            _require_trained_only(module, task)
            whole._modules[task] = module  # add_module refuses names of attributes, such as "train"
        _require_declared(guidance, module, task)
    return whole


def _require_trained_only(module: nn.Module, task: str) -> None:
    frozen = [name for name, value in module.named_parameters() if not value.requires_grad]
    if frozen:
        raise ConfigError(
            f"system.tasks.{task}: {frozen[0]}, which is frozen, is in the module that the guidance trains, and would "
            "be saved in every checkpoint. Its method trainable must return trained parameters alone."
        )


def _require_declared(guidance: Guidance, module: nn.Module | None, task: str) -> None:
    declared = set() if module is None else {id(value) for value in module.parameters()}
    held: dict[int, str] = {}
    for name, value in _tensors(guidance, "", set()):
        if value.requires_grad and value.is_leaf and id(value) not in declared:
            held.setdefault(id(value), name)
    if held:
        name = next(iter(held.values())).lstrip(".")
        raise ConfigError(
            f"system.tasks.{task}: {name} of the guidance requires gradients, which nothing would clear or use. Freeze "
            "it with requires_grad_(False), or train it: see bozzetto.kinds.trainable."
        )


def _tensors(value: object, name: str, seen: set[int]) -> Iterable[tuple[str, Tensor]]:
    """Yield the tensors of an object and of all that its attributes hold, with their dotted names."""
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, nn.Module):
        yield from ((f"{name}.{inner}", one) for inner, one in value.named_parameters())
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{name}.{key}", seen)
    elif isinstance(value, CONTAINERS):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{name}.{index}", seen)
    elif type(value).__module__ != "builtins":
        for key, item in getattr(value, "__dict__", {}).items():
            yield from _tensors(item, f"{name}.{key}", seen)
