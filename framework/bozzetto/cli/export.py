"""`bozzetto export`: exports a finished run again. Imports no torch before a scene is loaded."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from bozzetto.cli.options import Options
from bozzetto.cli.run import say
from bozzetto.config.loading import load_recipe
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.run_lock import locked
from bozzetto.engine.stopping import StopSignals
from bozzetto.errors import ConfigError
from bozzetto.machine import accelerators as hardware
from bozzetto.machine.capacity import check_machine
from bozzetto.recipe import Recipe
from bozzetto.registry.discovery import Registry
from bozzetto.runs.amendments import load_amended
from bozzetto.runs.start import import_heavy, open_device


def parser() -> Options:
    """Return the options of `export`."""
    made = Options("bozzetto export", description="Export a finished run again.")
    made.add_argument("run_folder", metavar="RUN_FOLDER", help="a folder under outputs/")
    made.add_argument(
        "--format",
        metavar="LIST",
        help="write the mesh alone, in these formats: glb,obj,ply,stl; default: everything the recipe exports",
    )
    made.add_argument("overrides", nargs="*", metavar="key=value", help="set a field, e.g. export.mesh.origin=bottom")
    made.add_argument("--traceback", action="store_true", help="show where an error comes from")
    return made


def export(options: argparse.Namespace, registry: Registry, stop: StopSignals) -> int:
    """Export a run from its checkpoint, with `--format` and overrides such as `export.mesh.threshold=5`."""
    folder, found = RunFolder.existing(Path(options.run_folder).expanduser()), hardware.detect()
    with locked(folder.path, say):
        recipe = recipe_to_export(folder, registry, options.overrides, options.format, found)
        if not recipe.exports:
            raise ConfigError("The recipe of this run names no exporter. Add one: export.mesh.type=mesh")
        folder.tidy()
        return export_scene(recipe, folder, registry, found, stop)


def export_scene(
    recipe: Recipe, folder: RunFolder, registry: Registry, found: hardware.Accelerator, stop: StopSignals
) -> int:
    """Load the scene of the last stage and write its files. Imports torch."""
    check_machine(recipe, reads=lambda *_: False)

    import_heavy(stop)
    import torch

    from bozzetto.engine.pipeline import Pipeline
    from bozzetto.machine.tuning import tune_allocator

    tune_allocator()
    last = recipe.stages[-1]
    if not folder.finished(last.name, last.trainer.steps):
        say(f"notice    stage {last.name} has not finished: this is what its last checkpoint holds")
    device = torch.device(open_device(recipe, found))
    for path in Pipeline(registry, folder, {}, None, device, say).export_again(recipe):
        say(f"wrote     {path}  ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


def recipe_to_export(
    folder: RunFolder, registry: Registry, overrides: list[str], formats: str | None, found: hardware.Accelerator
) -> Recipe:
    """Return the run's recipe with overrides applied; with `formats`, only the exporters that have a field `formats`.

    Raises:
        ConfigError: `formats` is given and no exporter of the recipe has that field.
    """
    amended = load_amended(folder, registry, overrides, found)
    amended.require_exportable()
    recipe = amended.recipe
    if formats is None:
        return recipe
    names = [name for name, _ in recipe.mesh_exporters]
    if not names:
        known = ", ".join(name for name, _ in recipe.exports) or "none"
        raise ConfigError(
            f"--format {formats}: no exporter of this run writes meshes (its exporters: {known}). "
            "Add one: export.mesh.type=mesh"
        )
    chosen = [f"export.{name}.formats=[{formats}]" for name in names]
    recipe = load_recipe(folder.recipe_file, registry, [*overrides, *chosen], folder.profile, found)
    return replace(recipe, exports=tuple(item for item in recipe.exports if item[0] in names))
