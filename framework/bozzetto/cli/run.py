"""`run` and `check`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bozzetto.cli.beside import Beside, running
from bozzetto.cli.report import header, notices, plan_report
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.run_lock import locked
from bozzetto.engine.stopping import Stopped, StopSignals, exit_code
from bozzetto.errors import ConfigError
from bozzetto.machine import accelerators as hardware
from bozzetto.registry.discovery import Registry
from bozzetto.runs.start import Prepared, opened, prepare, prepare_to_resume

RESUME = "python launch.py --resume {folder}"


def say(line: str) -> None:
    """Print one line at once, without breaking the progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def check(options: argparse.Namespace, registry: Registry) -> int:
    """Validate a recipe: plugins, names, fields, needs, packages, weights."""
    prepared = prepare(options.config, registry, options.overrides, options.profile, hardware.detect())
    print(plan_report(prepared.recipe, prepared.plans))
    lacks = prepared.recipe.stand_ins
    print("ok: the recipe is valid" + ("; parts of it only stand in or are lost, see the notices" if lacks else ""))
    return 0


def run(options: argparse.Namespace, registry: Registry, stop: StopSignals) -> int:
    """Train and export, from a recipe or from where an earlier run stopped."""
    found = hardware.detect()
    if options.from_stage and not options.resume:
        raise ConfigError("--from-stage needs a run to go back in. Give it with --resume outputs/...")
    if options.resume:
        return resume(options, registry, stop, found)
    prepared = prepare(options.config, registry, options.overrides, options.profile, found)
    if options.dry_run:
        print(plan_report(prepared.recipe, prepared.plans))
        return 0
    for line in (*header(prepared.recipe, prepared.plans, options.config), *notices(prepared.recipe.notices)):
        say(line)
    return train_and_export(prepared, registry, None, stop, beside=options.beside)


def resume(options: argparse.Namespace, registry: Registry, stop: StopSignals, found: hardware.Accelerator) -> int:
    """Continue a run, perhaps with overrides, which are checked against what it has done and kept in its folder."""
    folder = RunFolder.existing(Path(options.resume).expanduser())
    if options.profile not in ("auto", folder.profile):
        raise ConfigError(
            f"--profile {options.profile}: this run was started with profile {folder.profile!r}, whose values its "
            f"recipe holds. On another device: device={options.profile}; otherwise start a new run."
        )
    with locked(folder.path, say):
        prepared, told = prepare_to_resume(folder, registry, options.overrides, options.from_stage, found)
        if options.dry_run:
            print(plan_report(prepared.recipe, prepared.plans))
            return 0
        folder.tidy()
        for line in (*header(prepared.recipe, prepared.plans, options.resume), *notices(told)):
            say(line)
        return train_and_export(prepared, registry, folder, stop, options.from_stage, options.beside)


def train_and_export(
    prepared: Prepared, registry: Registry, folder: RunFolder | None, stop: StopSignals, from_stage: str | None = None,
    beside: Sequence[Beside] = (),
) -> int:  # fmt: skip
    """Train and export, in a new folder or in `folder`, which is locked.

    Args:
        beside: commands that are started with the run and end with it.
    """
    started = time.monotonic()
    with opened(prepared, registry, sys.argv, say, stop, folder) as pipeline, running(beside, pipeline.folder.path):
        from bozzetto.engine.pipeline import Interrupted

        try:
            files = pipeline.run(prepared.recipe, from_stage)
        except (Interrupted, Stopped) as stopped:
            say(f"\n{stopped}. Go on with:\n  {RESUME.format(folder=pipeline.folder.path)}")
            return exit_code(stopped.number)
    for path in files:
        say(f"wrote     {path}  ({path.stat().st_size / 1e6:.2f} MB)")
    say(f"done in {time.monotonic() - started:.0f} s")
    for one in beside:
        say(f"look at it again with: bozzetto {one.name} {pipeline.folder.path}")
    return 0
