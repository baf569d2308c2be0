"""Memory of the scene in a step of a recipe at its real sizes, counted on a CPU with the compiled kernels.

The scene is that of the first step or of a milestone of its views, with the occupancy of a new scene: an eighth of the
steps along rays, as the estimate of a dry run has it. Models are tiny, so that what is counted is the scene, with the
gradients and moments of its parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bozzetto.config.loading import load_recipe
from bozzetto.engine.build import build_system
from bozzetto.engine.loop import Loop
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.machine.gpu_memory import gpu_memory
from bozzetto.recipe import Recipe, Stage, Task, TaskTimes
from bozzetto.registry.discovery import Registry
from bozzetto.testing import run
from bozzetto.testing.fakes import tiny_stable_diffusion, tiny_zero123
from gpu_check.counted import Peak
from gpu_check.recipes import CONFIGS
from gpu_check.steps import last_milestone


def tiny_models(folder: Path) -> dict[str, Path]:
    """Write the models, and return their folders by the name of a guidance; `""` is for all others."""
    return {"": tiny_stable_diffusion(folder / "text"), "zero123": tiny_zero123(folder / "photo")}


def checked(name: str, registry: Registry, folder: Path, tiny: bool) -> list[dict[str, Any]]:
    """Return a row for the first and one for the last resolution of the first stage of a recipe, profile `cuda`."""
    models = tiny_models(folder)
    recipe = load_recipe(CONFIGS / f"{name}.yaml", registry, profile="cuda")
    if tiny:
        recipe = run.small(recipe, models, folder)
    stage = recipe.stages[0]
    steps = sorted({0, last_milestone(stage)})
    return [counted_scene(recipe, stage, registry, models, step) for step in steps]


def counted_scene(
    recipe: Recipe, stage: Stage, registry: Registry, models: Mapping[str, Path], step: int
) -> dict[str, Any]:
    """Return the samples of a step, and the bytes that live at the same time in it."""
    small = dataclasses.replace(stage, tasks=tuple(_with_tiny_model(task, models) for task in stage.tasks))
    of_one = dataclasses.replace(recipe, device="cpu", stages=(small,))
    weights = {str(path): path for path in models.values()}
    system = build_system(small, of_one, registry, weights, torch.device("cpu"), None, lambda line: None)
    system.begin()
    loop = Loop(system, make_optimizer(system.scene_parameters(), small.optimizer))
    system.prepare(0)  # finds the occupied cells
    loop.done = step
    samples: list[int] = []
    system.renderer.register_forward_hook(lambda _, __, rendered: samples.append(_samples_of(rendered)))
    with Peak() as peak:
        loop.step()
    memory = gpu_memory(stage, {})
    return {
        "recipe": recipe.name, "profile": recipe.profile, "at_step": step, "samples": sum(samples),
        "scene_bytes": peak.peak, "worked_out_bytes": memory.scene + memory.parameters,
    }  # fmt: skip


def _samples_of(rendered: Any) -> int:
    return 0 if rendered.volume is None else len(rendered.volume.samples)


def _with_tiny_model(task: Task, models: Mapping[str, Path]) -> Task:
    """Replace the model of a task, which acts from the first step on."""
    guidance = task.guidance
    if guidance is None:
        return dataclasses.replace(task, times=TaskTimes())
    model = models.get(guidance.name, models[""])
    config = dataclasses.replace(guidance.config, model=str(model), dtype="float32", encode_views=0, cpu_offload="none")
    return dataclasses.replace(task, guidance=dataclasses.replace(guidance, config=config), times=TaskTimes())
