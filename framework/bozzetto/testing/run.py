"""Trains one step of a whole recipe at small size, with fake weights of the prior."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bozzetto.config.loading import load_recipe
from bozzetto.engine.pipeline import Pipeline
from bozzetto.engine.run_folder import RunFolder
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import Component, LossTerm, Recipe, Stage, Task, TaskTimes, TrainerConfig
from bozzetto.registry.discovery import Registry

__all__ = ["small", "train_one_step"]

SMALL = {
    "height": 16,
    "width": 16,
    "eval_height": 16,
    "eval_width": 16,
    "batch_size": 2,
    "samples_per_ray": 16,
    "occupancy_resolution": 8,
    "log2_table_size": 10,
    "levels": 4,
    "hidden_width": 8,
    "resolution": 12,
    "texture_size": 32,
    "frames": 4,
    "size": 16,
    "image_size": 16,
    "edit_steps": 4,
    "views_per_ring": 2,
}
"""Maximum value of each config field of this name; fields that do not allow it are kept."""


def train_one_step(
    path: Path,
    registry: Registry,
    folder: Path,
    models: Mapping[str, Path],
    profile: str = "auto",
) -> dict[str, dict[str, float]]:
    """Load a recipe, reduce its size, and train one step of each stage on the CPU with all tasks and loss terms active.

    Args:
        folder: parent folder of the run folder.
        models: folder of (fake) weights by the name of a guidance or prompt processor, `""` for all other guidances:
            see `bozzetto.testing.fakes.tiny_stable_diffusion`; `controls` for the ControlNets of any.

    Returns:
        Every metric of the step by `task/name`, by stage. `gradient_norm` is positive if something is trained.
    """
    recipe = small(load_recipe(path, registry, profile=profile), models, folder)
    weights = {str(model): model for model in models.values()}
    device = torch.device("cpu")
    pipeline = Pipeline(registry, RunFolder.create(recipe, ["test"], {}), weights, None, device, lambda line: None)
    numbers = {}
    for index, stage in enumerate(recipe.stages):
        pipeline.train(recipe, index)
        with (pipeline.folder.metrics / f"{stage.name}.csv").open(newline="", encoding="utf-8") as stream:
            (row,) = csv.DictReader(stream)
        numbers[stage.name] = {name: float(value) for name, value in row.items()}
    return numbers


def small(recipe: Recipe, models: Mapping[str, Path], folder: Path) -> Recipe:
    """Reduce a recipe to one step of tiny images, with every task and loss term active from the start.

    Args:
        models: folders by the name of a guidance or of a prompt processor; "" is for all other guidances, `controls`
            for ControlNets, which are left out where it is missing.
    """
    stages = tuple(_stage(stage, models) for stage in recipe.stages)
    return dataclasses.replace(recipe, stages=stages, device="cpu", output=str(folder))


def _stage(stage: Stage, models: Mapping[str, Path]) -> Stage:
    return dataclasses.replace(
        stage,
        geometry=_component(stage.geometry),
        material=_component(stage.material),
        background=_component(stage.background),
        renderer=_component(stage.renderer),
        prompt_processor=_processor(stage.prompt_processor, models),
        tasks=tuple(_task(task, models) for task in stage.tasks),
        trainer=TrainerConfig(steps=1, log_every=1, image_every=1, image_views=1, checkpoint_every=1),
    )


def _processor(processor: Component, models: Mapping[str, Path]) -> Component:
    small = _component(processor)
    return _with(small, {"model": str(models[processor.name])}) if processor.has_model else small


def _task(task: Task, models: Mapping[str, Path]) -> Task:
    guidance = task.guidance
    if guidance is not None:
        guidance = _component(guidance)
        model = models.get(guidance.name, models[""])
        guidance = _with(guidance, {"model": str(model), "dtype": "float32", "cpu_offload": "none"})
        if controls := getattr(guidance.config, "controls", ()):
            kept = controls if "controls" in models else ()
            fakes = tuple(dataclasses.replace(one, model=str(models["controls"])) for one in kept)
            guidance = _with(guidance, {"controls": fakes})
    terms = tuple(
        LossTerm(term.name, _highest(term.weight), _component(term.component) if term.component else None)
        for term in task.terms
    )
    return dataclasses.replace(task, views=_component(task.views), guidance=guidance, terms=terms, times=TaskTimes())


def _highest(weight: Schedule) -> Schedule:
    return Schedule.constant(max(weight.start, weight.end))


def _component(component: Component) -> Component:
    """Limit every config field of a component by `SMALL`."""
    return dataclasses.replace(component, config=_cut_config(component.config))


def _cut_config(config: Any) -> Any:
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        nested = dataclasses.is_dataclass(value) and not isinstance(value, Schedule)
        cut = _cut_config(value) if nested else _cut(value, SMALL[item.name]) if item.name in SMALL else value
        if cut != value:
            try:  # one at a time, since some may contradict others
                config = dataclasses.replace(config, **{item.name: cut})
            except ValueError:
                continue
    return config


def _cut(value: Any, limit: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_cut(item, limit) for item in value)
    return min(value, limit) if isinstance(value, int) and not isinstance(value, bool) else value


def _with(component: Component, values: Mapping[str, Any]) -> Component:
    """Replace those config fields of a component that exist."""
    known = {item.name for item in dataclasses.fields(component.config)}
    changes = {name: value for name, value in values.items() if name in known}
    return dataclasses.replace(component, config=dataclasses.replace(component.config, **changes))
