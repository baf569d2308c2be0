"""Steps of shipped recipes with random weights: seconds, peak memory, synchronisations, and equality after a resume."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bozzetto.config.loading import load_recipe
from bozzetto.engine.build import build_system
from bozzetto.engine.checkpoints import load_into, read_checkpoint, restore, save_checkpoint
from bozzetto.engine.loop import Loop
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.machine.accelerators import Accelerator
from bozzetto.recipe import Recipe, Stage
from bozzetto.registry.discovery import Registry
from bozzetto.testing.run import small
from bozzetto.weights.plans import further_models
from gpu_check.kernels import finish

CONFIGS = Path(__file__).parents[2] / "configs"
WARM_UP = 3
"""Steps that are not measured."""
AFTER = 2
"""Steps after a checkpoint, with and without resuming."""


def recipe_of(
    name: str, registry: Registry, models: Mapping[str, Path], folder: Path, found: Accelerator, tiny: bool,
    changes: Sequence[str] = (),
) -> Recipe:  # fmt: skip
    """Load a recipe in the profile that fits the GPU, with random weights in place of its models.

    Args:
        models: folders by `text` and `photo`, and that of any ControlNet by `controls`.
        changes: overrides of the recipe.
    """
    recipe = load_recipe(CONFIGS / f"{name}.yaml", registry, changes, "cuda", found)
    if tiny:
        return small(recipe, {**models, "": models["text"], "zero123": models["photo"]}, folder)
    placed = [
        f"system.tasks.{task.name}.guidance.model={models['photo' if task.guidance.name == 'zero123' else 'text']}"
        for task in recipe.stages[0].tasks
        if task.guidance is not None
    ]
    controls = [
        f"system.tasks.{task.name}.guidance.controls={json.dumps([_placed(one, models['controls']) for one in some])}"
        for task in recipe.stages[0].tasks
        if task.guidance is not None and (some := getattr(task.guidance.config, "controls", ()))
    ]
    return load_recipe(CONFIGS / f"{name}.yaml", registry, [*changes, *placed, *controls], "cuda", found)


def checked(recipe: Recipe, registry: Registry, folder: Path, device: torch.device, steps: int) -> list[dict[str, Any]]:
    """Return a row per stage, each from scratch; what fails is in the row, and the next stage goes on."""
    rows = []
    for stage in recipe.stages:
        row: dict[str, Any] = {"recipe": recipe.name, "profile": recipe.profile, "stage": stage.name}
        try:
            row |= _stage(stage, recipe, registry, folder / f"{recipe.name}-{stage.name}.ckpt", device, steps)
        except Exception as error:  # each check stands alone
            row["error"] = f"{type(error).__name__}: {error}"[:300]
        if device.type == "cuda":
            torch.cuda.empty_cache()
        rows.append(row)
    return rows


def _placed(control: Any, folder: Path) -> dict[str, object]:
    """Return a recipe's ControlNet with the weights of a folder, at its first scale."""
    return {"model": str(folder), "map": control.map, "scale": control.scale.start}


def begun(stage: Stage, recipe: Recipe, registry: Registry, device: torch.device) -> Loop:
    """Return the loop of a stage from scratch."""
    guidances = [task.guidance for task in stage.tasks if task.guidance is not None]
    weights = {name: Path(name) for part in guidances for name in (part.model, *further_models(part))}
    system = build_system(stage, recipe, registry, weights, device, None, lambda line: None)
    return Loop(system, make_optimizer(system.scene_parameters(), stage.optimizer))


def _stage(
    stage: Stage, recipe: Recipe, registry: Registry, checkpoint: Path, device: torch.device, steps: int
) -> dict[str, Any]:
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    loop = begun(stage, recipe, registry, device)
    loop.run(WARM_UP, [])
    finish(device)
    start = time.perf_counter()
    loop.run(max(steps, WARM_UP + 1), [])
    finish(device)
    row: dict[str, Any] = {
        "steps": loop.done,
        "s_per_step": (time.perf_counter() - start) / (loop.done - WARM_UP),
        "peak_bytes": torch.cuda.max_memory_allocated(device) if cuda else None,
        "finite": bool(loop.system.metrics["gradient_norm"] >= 0.0),
        "syncs": _syncs(loop) if cuda else None,
    }
    save_checkpoint(checkpoint, loop.system, loop.optimizers, loop.done)
    loop.run(loop.done + AFTER, [])
    expected = {name: value.detach().cpu() for name, value in loop.system.state_dict().items()}
    last = loop.done
    del loop
    saved = read_checkpoint(checkpoint)
    again = begun(stage, recipe, registry, device)
    load_into(again.system, saved["state_dict"], checkpoint)
    again.done = restore(again.optimizers, again.system.generator, saved, checkpoint)
    again.run(last, [])
    state = again.system.state_dict()
    row["resume_difference"] = max(
        float((state[name].cpu().double() - value.double()).abs().max()) for name, value in expected.items()
    )
    return row


def _syncs(loop: Loop) -> int:
    """Return the synchronisations of one step, as torch reports them."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            loop.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in told)
