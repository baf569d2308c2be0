"""The commands `run` and `check`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bozzetto import hardware
from bozzetto.amendments import State, load_amended
from bozzetto.cli.report import header, notices, plan_report
from bozzetto.errors import ConfigError, UserError
from bozzetto.kernels.startup import growing, tune_allocator
from bozzetto.load import find_recipe, load_recipe
from bozzetto.machine_checks import check_machine, check_output
from bozzetto.models import ModelPlan, fetch, plan
from bozzetto.photos import require_reader
from bozzetto.recipe import Component, Recipe
from bozzetto.registry import Registry
from bozzetto.run_folder import RunFolder
from bozzetto.run_lock import locked
from bozzetto.stopping import Stopped, StopSignals, exit_code

RESUME = "python launch.py --resume {folder}"


def say(line: str) -> None:
    """Print one line at once, without disturbing the progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def offline() -> bool:
    """Return whether downloads are disabled by `HF_HUB_OFFLINE`, parsed as the hub's own tools do."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def plans_for(recipe: Recipe) -> dict[str, ModelPlan]:
    """Return the source of each model of a recipe, by the name used in the recipe."""
    found = {}
    for stage in recipe.stages:
        for task in stage.tasks:
            if task.guidance is not None and task.guidance.has_model:
                found[task.guidance.model] = plan(task.guidance.model, offline())
                require_weights(task.guidance, found[task.guidance.model].folder)
    return found


def require_weights(guidance: Component, folder: Path | None) -> None:
    """Let a guidance check its weights if they are on this machine; raises `UserError` if it cannot use them."""
    check = getattr(guidance.config, "require_weights", None)
    if check is None or folder is None:
        return
    try:
        check(folder)
    except UserError as error:
        raise type(error)(f"{guidance.where}.{error}") from error


def require_photo(recipe: Recipe) -> None:
    """Raise `ConfigError` if the recipe's photo is unused or does not exist; its content is checked on reading."""
    require_reader(recipe)
    if recipe.image and not Path(recipe.image).is_file():
        raise ConfigError(f"image: there is no file {recipe.image}. Give a photo of what to make: image=photo.png.")


def cache_folder() -> Path:
    """Return the folder in which text embeddings are cached between runs."""
    root = os.environ.get("BOZZETTO_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "bozzetto" / "text-embeddings"


def check(options: argparse.Namespace, registry: Registry) -> int:
    """Validate a recipe: plugins, names, fields, required capabilities, packages, weights."""
    recipe = load_recipe(
        find_recipe(options.config, registry), registry, options.overrides, options.profile, hardware.detect()
    )
    require_photo(recipe)
    check_machine(recipe)
    check_output(recipe)
    print(plan_report(recipe, plans_for(recipe)))
    count = len(recipe.stand_ins)
    print("ok: the recipe is valid" + (f"; {count} of its parts only stand in, see the notices" if count else ""))
    return 0


def run(options: argparse.Namespace, registry: Registry, stop: StopSignals) -> int:
    """Train and export, from a recipe or from where an earlier run stopped."""
    found = hardware.detect()
    if options.from_stage and not options.resume:
        raise ConfigError("--from-stage needs a run to go back in. Give it with --resume outputs/...")
    if options.resume:
        return resume(options, registry, stop, found)
    recipe = load_recipe(find_recipe(options.config, registry), registry, options.overrides, options.profile, found)
    require_photo(recipe)
    check_machine(recipe)
    check_output(recipe)
    plans = plans_for(recipe)
    if options.dry_run:
        print(plan_report(recipe, plans))
        return 0
    for line in (*header(recipe, plans, options.config), *notices(recipe.notices)):
        say(line)
    return train_and_export(recipe, registry, plans, None, found, stop)


def resume(options: argparse.Namespace, registry: Registry, stop: StopSignals, found: hardware.Accelerator) -> int:
    """Resume a run; overrides are checked against the finished training and kept in its run folder."""
    folder = RunFolder.existing(Path(options.resume).expanduser())
    if options.profile not in ("auto", folder.profile):
        raise ConfigError(
            f"--profile {options.profile}: this run was started with profile {folder.profile!r}, whose values its "
            f"recipe holds. On another device: device={options.profile}; otherwise start a new run."
        )
    with locked(folder.path, say):
        amended = load_amended(folder, registry, options.overrides, found)
        told = (*amended.require_resumable(options.from_stage), *amended.recipe.notices)
        recipe = amended.recipe
        states = amended.states(options.from_stage)
        if set(states.values()) != {"finished"}:
            require_photo(recipe)
        check_machine(recipe, reads=lambda stage, part: still_read(states[stage.name], part))
        plans = plans_for(recipe)
        if options.dry_run:
            print(plan_report(recipe, plans))
            return 0
        folder.tidy()
        for line in (*header(recipe, plans, options.resume), *notices(told)):
            say(line)
        return train_and_export(recipe, registry, plans, folder, found, stop, options.from_stage)


def still_read(state: State, component: Component) -> bool:
    """Return whether a part reads its files on resume; the checkpoint already holds what a geometry has read."""
    return state == "fresh" or (state == "begun" and component.kind != "geometry")


def train_and_export(
    recipe: Recipe,
    registry: Registry,
    plans: dict[str, ModelPlan],
    folder: RunFolder | None,
    found: hardware.Accelerator,
    stop: StopSignals,
    from_stage: str | None = None,
) -> int:
    """Train and export. Imports torch."""
    import_heavy(stop)
    import torch

    tune_allocator()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # it logs advertisements; errors are raised
    device = torch.device(open_device(recipe, found))
    weights = {name: fetch(item) for name, item in plans.items()}
    if folder is not None:
        folder.record_resumed(recipe, sys.argv)
        return _in_folder(recipe, registry, weights, folder, device, stop, from_stage)
    facts = {name: plans[name].facts(path) for name, path in weights.items()}
    folder = RunFolder.create(recipe, sys.argv, facts)
    folder.record({"plugins": recipe.distributions})
    with locked(folder.path, say):
        return _in_folder(recipe, registry, weights, folder, device, stop, None)


def import_heavy(stop: StopSignals) -> None:
    """Import torch and its dependents. Signals are deferred, since an interrupted import aborts the process."""
    with growing(), stop.deferred():
        import bozzetto.pipeline  # noqa: F401
    stop.answer()


def _in_folder(
    recipe: Recipe, registry: Registry, weights: Mapping[str, Path], folder: RunFolder, device: Any,
    stop: StopSignals, from_stage: str | None,
) -> int:  # fmt: skip
    """Train and export in a locked run folder."""
    import torch

    from bozzetto.pipeline import Interrupted, Pipeline

    started = time.monotonic()
    folder = RunFolder(short(folder.path))
    say(f"run       {folder.path}")
    say(f"pictures  {folder.images}")
    torch.manual_seed(recipe.seed)
    pipeline = Pipeline(registry, folder, weights, cache_folder(), device, say, stop)
    try:
        files = pipeline.run(recipe, from_stage)
    except (Interrupted, Stopped) as stopped:
        say(f"\n{stopped}. Go on with:\n  {RESUME.format(folder=folder.path)}")
        return exit_code(stopped.number)
    except Exception as error:
        error.add_note(f"The run is kept in {folder.path}")
        raise
    for path in files:
        say(f"wrote     {path}  ({path.stat().st_size / 1e6:.2f} MB)")
    say(f"done in {time.monotonic() - started:.0f} s")
    return 0


def short(path: Path) -> Path:
    """Return the path relative to the working folder if it is below it."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, FileNotFoundError):
        return path


def open_device(recipe: Recipe, found: hardware.Accelerator) -> str:
    """Return the torch device of a run.

    Raises:
        ConfigError: the recipe names a device that torch cannot use.
    """
    return hardware.torch_device(recipe.device, recipe.profile, found)
