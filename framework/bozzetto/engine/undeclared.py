"""Builds stages with undeclared parameters once before training, so that errors occur early."""

from __future__ import annotations

import torch

from bozzetto.engine.adaptation import take_rows
from bozzetto.engine.build import build_scene
from bozzetto.errors import ConfigError
from bozzetto.kinds.geometry import Adaptive, module
from bozzetto.kinds.scene import Scene
from bozzetto.parameters import PARTS, check_rates, stage_specs
from bozzetto.recipe import Recipe, Stage
from bozzetto.registry.discovery import Registry

Shapes = dict[str, tuple[int, ...]]


def check_undeclared(recipe: Recipe, registry: Registry, device: torch.device) -> None:
    """Check `lr_of` and inherited shapes of every stage that has a part without declared parameters.

    Raises:
        ConfigError: a name matches no parameter, or a part cannot be initialised from the previous stage; with the
            stage.
    """
    if len(recipe.stages) < 2:
        return  # checked by its own start
    unknown = [bool([part for part, specs in stage_specs(stage).items() if specs is None]) for stage in recipe.stages]
    for index, stage in enumerate(recipe.stages):
        inherits = bool(index and stage.inherit)
        if not unknown[index] and not (inherits and unknown[index - 1]):
            continue
        scene = build_scene(stage, recipe.seed, registry, device)
        named = [(f"{part}.{name}", p) for part in PARTS for name, p in getattr(scene, part).named_parameters()]
        check_rates(stage.optimizer.lr_of, [name for name, parameter in named if parameter.requires_grad])
        if inherits:
            before = recipe.stages[index - 1]
            _check_inherited(stage, scene, before, build_scene(before, recipe.seed, registry, device))


def _check_inherited(stage: Stage, scene: Scene, before: Stage, earlier: Scene) -> None:
    for part in stage.inherit:
        if getattr(stage, part).entry != getattr(before, part).entry:
            continue
        if part == "geometry" and isinstance(scene.geometry, Adaptive):  # as it will be after the stage before
            take_rows(module(scene.geometry), module(earlier.geometry).state_dict())
        ours, theirs = (shapes_of(getattr(one, part)) for one in (scene, earlier))
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                raise ConfigError(
                    f"stages.{stage.name}.inherit: {part} cannot start from stage {before.name!r}: {name} has the "
                    f"shape {theirs.get(name)} there and {ours.get(name)} here. Make their settings alike."
                )


def shapes_of(module: torch.nn.Module) -> Shapes:
    """Return the shape of every saved tensor."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
