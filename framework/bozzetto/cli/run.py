"""`run` and `check`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

from bozzetto import hardware
from bozzetto.cli.report import header, plan_report
from bozzetto.errors import ConfigError, UserError
from bozzetto.kernels.startup import growing, tune_allocator
from bozzetto.load import find_recipe, load_recipe
from bozzetto.models import ModelPlan, fetch, plan
from bozzetto.recipe import Recipe
from bozzetto.registry import Registry
from bozzetto.run_folder import RunFolder

RESUME = "python launch.py --resume {folder}"


def say(line: str) -> None:
    """One line for the person in front of the screen, shown at once, out of the way of the progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def offline() -> bool:
    """Whether the user has forbidden downloads, the way the hub's own tools read it."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def plans_for(recipe: Recipe) -> dict[str, ModelPlan]:
    """Where each model of a recipe would come from, by the name the recipe gives it."""
    found = {}
    for stage in recipe.stages:
        for task in stage.tasks:
            if task.guidance is not None and task.guidance.has_model:
                found[task.guidance.model] = plan(task.guidance.model, offline())
    return found


def require_photo(recipe: Recipe) -> None:
    """Raises `ConfigError` if the recipe names a photo that is not there; what is in it is checked when it is read."""
    if recipe.image and not Path(recipe.image).is_file():
        raise ConfigError(f"image: there is no file {recipe.image}. Give a photo of what to make: image=photo.png.")


def cache_folder() -> Path:
    """Where text embeddings are kept between runs."""
    root = os.environ.get("BOZZETTO_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "bozzetto" / "text-embeddings"


def check(options: argparse.Namespace, registry: Registry) -> int:
    """Validate a recipe: plugins, names, fields, needs, packages, weights."""
    recipe = load_recipe(
        find_recipe(options.config, registry), registry, options.overrides, options.profile, hardware.detect()
    )
    require_photo(recipe)
    print(plan_report(recipe, plans_for(recipe)))
    count = len(recipe.stand_ins)
    print("ok: the recipe is valid" + (f"; {count} of its parts only stand in, see the notices" if count else ""))
    return 0


def run(options: argparse.Namespace, registry: Registry) -> int:
    """Train and export, from a recipe or from where an earlier run stopped."""
    found = hardware.detect()
    if options.from_stage and not options.resume:
        raise ConfigError("--from-stage needs a run to go back in. Give it with --resume outputs/...")
    if options.resume:
        folder = RunFolder.existing(Path(options.resume))
        recipe = load_recipe(folder.recipe_file, registry, options.overrides, folder.manifest["profile"], found)
    else:
        folder = None
        recipe = load_recipe(find_recipe(options.config, registry), registry, options.overrides, options.profile, found)
    require_photo(recipe)
    plans = plans_for(recipe)
    if options.dry_run:
        print(plan_report(recipe, plans))
        return 0
    for line in header(recipe, plans, options.config or options.resume):
        say(line)
    return train_and_export(recipe, registry, plans, folder, found, options.from_stage)


def train_and_export(
    recipe: Recipe,
    registry: Registry,
    plans: dict[str, ModelPlan],
    folder: RunFolder | None,
    found: hardware.Accelerator,
    from_stage: str | None = None,
) -> int:
    """The heavy part: from here on torch is imported."""
    started = time.monotonic()
    with growing():
        import torch

        from bozzetto.pipeline import Interrupted, Pipeline
    tune_allocator()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # it advertises; what matters it raises
    device = open_device(recipe, found)
    weights = {name: fetch(item) for name, item in plans.items()}
    if folder is None:
        facts = {name: plans[name].facts(path) for name, path in weights.items()}
        folder = RunFolder.create(recipe, sys.argv, facts)
        folder.record({"plugins": recipe.distributions})
    say(f"run       {folder.path}")
    torch.manual_seed(recipe.seed)
    pipeline = Pipeline(registry, folder, weights, cache_folder(), torch.device(device), say)
    try:
        files = pipeline.run(recipe, from_stage)
    except (Interrupted, KeyboardInterrupt) as stop:
        say(f"\n{stop or 'stopped'}. Go on with:\n  {RESUME.format(folder=folder.path)}")
        return 130
    except UserError as error:
        raise type(error)(f"{error}\nThe run is kept in {folder.path}") from error
    for path in files:
        say(f"wrote     {path}  ({path.stat().st_size / 1e6:.2f} MB)")
    say(f"done in {time.monotonic() - started:.0f} s")
    return 0


def open_device(recipe: Recipe, found: hardware.Accelerator) -> str:
    """The torch device of a run.

    Raises:
        ConfigError: the recipe names one that this torch cannot use.
    """
    import torch

    wanted = found.kind if recipe.device == "auto" else recipe.device
    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not usable[wanted]:
        raise ConfigError(
            f"device {wanted!r} (profile {recipe.profile!r}) cannot be used here: {found.reason}, "
            f"torch {torch.__version__}. Choose another profile, e.g. --profile cpu."
        )
    return wanted
