"""`bozzetto bench`: its arguments, and the selected benchmarks in turn. Imports torch only when it runs."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bozzetto.commands import Host
from bozzetto.errors import UserError
from bozzetto.files import write_text
from bozzetto.machine import accelerators as hardware
from bozzetto.recipe import Recipe
from bozzetto.registry.discovery import Registry

KERNELS = ("hash_encode", "hash_field", "mlp", "march", "composite", "rasterize", "interpolate", "texture", "antialias")
OTHERS = ("step", "startup", "sweep", "fitting")
PEERS = Path(__file__).parents[2] / "tools" / "bench" / "peers"
"""Folder of third-party kernel implementations, present in a checkout only."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench`."""
    parser.add_argument(
        "--only", action="append", default=[], choices=(*KERNELS, *OTHERS), metavar="WHAT",
        help=f"measure only this; may be repeated. Kernels: {', '.join(KERNELS)}. Also: step (a recipe's training "
        "step and its parts), startup (from the start of a process to the end of its first step), sweep (a step's "
        "cost against rays and samples), fitting (surfaces found from pictures)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the table; default: 1")
    parser.add_argument("--quick", action="store_true", help="small problems, few repetitions, rough numbers")
    parser.add_argument(
        "--cpu-time", action="store_true",
        help="CPU time instead of wall time, for busy machines; use one thread",
    )  # fmt: skip
    parser.add_argument(
        "--config", default="dreamfusion-sd", metavar="RECIPE", help="recipe of the step; default: %(default)s"
    )
    parser.add_argument("--profile", default="cpu", metavar="NAME", help="its profile; default: %(default)s")
    parser.add_argument(
        "--peers", type=Path, default=None, metavar="FOLDER", help="third-party implementations to compare with"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here, too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the sweep's picture here, as SVG")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="set a field of the recipe")


def run(options: argparse.Namespace, host: Host) -> int:
    """Run the selected benchmarks, print results as they arrive and write the requested files."""
    import torch

    from bozzetto.machine.tuning import tune_allocator
    from bozzetto_bench.candidates import find_peers
    from bozzetto_bench.limits import limits, machine, measure
    from bozzetto_bench.measure import QUICK, Thoroughness, kernel_rows
    from bozzetto_bench.report import kernel_table, limits_table, values

    registry = host.registry()
    for option, path in (("--json", options.json), ("--plot", options.plot)):
        if path is not None and not path.parent.is_dir():
            raise UserError(f"{option}: there is no folder {path.parent}. Make it first, or choose another.")
    how = QUICK if options.quick else Thoroughness()
    clock, now = ("processor", time.process_time) if options.cpu_time else ("wall", time.perf_counter)
    how = replace(how, now=now)
    print(tune_allocator())
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"machine": {**machine(), "threads": options.threads, "clock": clock}}
    print("\n".join(f"{name}: {value}" for name, value in results["machine"].items()))
    known = limits(how.effort)
    results["limits"] = measure(known.values(), how.repeats, how.now)
    say(limits_table(results["limits"], {name: limit.unit for name, limit in known.items()}))
    del known
    kernels = [name for name in options.only if name in KERNELS]
    if kernels or not options.only:
        peers, notes = find_peers(options.peers or (PEERS if PEERS.is_dir() else None))
        rows = []
        for row in kernel_rows(kernels, how, peers):
            print(f"measured  {row.name}", flush=True)
            rows.append(row)
        results["kernels"] = [values(row) for row in rows]
        say(kernel_table(rows), *notes)
    if "step" in options.only or not options.only:
        results["step"] = _steps(options, registry, how)
    if "startup" in options.only or not options.only:
        results["startup"] = _startup(options)
    if "sweep" in options.only or options.plot or not options.only:
        results["sweep"] = _sweep(options, registry, how)
    if "fitting" in options.only or not options.only:
        results["fitting"] = _fitting(options, registry)
    if options.json:
        write_text(options.json, json.dumps(results, indent=2) + "\n")
        print(f"wrote     {options.json}")
    return 0


def say(*lines: str) -> None:
    """Print a block of output at once."""
    print("\n" + "\n".join(lines) + "\n", flush=True)


def load(options: argparse.Namespace, registry: Registry, config: str, changes: Iterable[str] = ()) -> Recipe:
    """Load a recipe with `changes` applied before the user's overrides."""
    from bozzetto.config.loading import find_recipe, load_recipe

    overrides = [*changes, *options.overrides]
    return load_recipe(find_recipe(config, registry), registry, overrides, options.profile, hardware.detect())


def _steps(options: argparse.Namespace, registry: Registry, how: Any) -> dict[str, Any]:
    import torch

    from bozzetto.runs.start import open_device, plans_for
    from bozzetto.weights.download import fetch
    from bozzetto_bench.measure import LARGE_GRID, RECIPE, SHADED, recipe_step
    from bozzetto_bench.report import shaded_line, step_table, step_values
    from bozzetto_bench.steps import system_without_prior, time_steps

    recipe = load(options, registry, options.config)
    device = torch.device(open_device(recipe, hardware.detect()))
    weights = {name: fetch(item) for name, item in plans_for(recipe, registry).items()}
    whole, bare = recipe_step(recipe, registry, weights, device, how)
    say(f"{recipe.name}, profile {recipe.profile}:", "", step_table(whole, bare))
    named = {"whole": whole, "without_prior": bare}
    for name, what, changes in (
        ("shaded", "the recipe's own grid", SHADED),
        ("shaded_large", "a grid of 16 levels and 2^19 entries, nothing skipped", LARGE_GRID),
    ):
        system = system_without_prior(load(options, registry, RECIPE, changes), registry, device)
        named[name] = time_steps(system, max(3, how.steps // 4), 1, how.now)
        say(shaded_line(what, named[name]))
    return {name: step_values(times) for name, times in named.items()}


def _startup(options: argparse.Namespace) -> dict[str, Any]:
    from bozzetto_bench.startup import measure_startup

    repeats = 1 if options.quick else 3
    found = measure_startup(options.config, options.profile, options.overrides, repeats, options.cpu_time)
    say(found.line(options.config))
    return {"seconds": found.median, "each": list(found.seconds)}


def _fitting(options: argparse.Namespace, registry: Registry) -> dict[str, Any]:
    import torch

    from bozzetto.runs.start import open_device
    from bozzetto.testing.mesh_fitting import QUICK, FittingSettings
    from bozzetto_bench.fitting import CHANGES, RECIPE, fit_objects, fitting_rows
    from bozzetto_bench.report import table

    recipe = load(options, registry, RECIPE, CHANGES)
    device = torch.device(open_device(recipe, hardware.detect()))
    found = dict(fit_objects(recipe, registry, device, QUICK if options.quick else FittingSettings()))
    say(table(("surface fitted from a sphere", "Chamfer distance", "asked for", "s"), fitting_rows(found)))
    return {name: vars(fitted) for name, fitted in found.items()}


def _sweep(options: argparse.Namespace, registry: Registry, how: Any) -> dict[str, Any]:
    import torch

    from bozzetto.runs.start import open_device
    from bozzetto_bench.measure import sweep
    from bozzetto_bench.report import sweep_line
    from bozzetto_bench.sweep import fit, picture

    recipe = load(options, registry, options.config)
    device = torch.device(open_device(recipe, hardware.detect()))
    points = sweep(lambda changes: load(options, registry, options.config, changes), registry, device, how)
    line = fit(points)
    say(sweep_line(line))
    if options.plot:
        title = f"Step of {recipe.name} without the prior, {options.threads} thread{'s' * (options.threads > 1)}"
        write_text(options.plot, picture(points, line, title))
        print(f"wrote     {options.plot}")
    return {"points": [vars(point) for point in points], "line": vars(line)}
