"""Observer that writes `report.html` when a run ends, well or not. Whatever fails here is told by the host."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bozzetto import hookimpl
from bozzetto.recipe import Recipe


@hookimpl
def bozzetto_run_finished(recipe: Recipe, run_folder: Path) -> Iterable[Path]:
    """Write the report of a finished run."""
    return _written(recipe, run_folder)


@hookimpl
def bozzetto_run_failed(recipe: Recipe, run_folder: Path) -> Iterable[Path]:
    """Write the report of a run that ended early, up to where it came."""
    return _written(recipe, run_folder)


def _written(recipe: Recipe, run_folder: Path) -> Iterable[Path]:
    """Write the report unless the recipe says `report: false`; what that takes is imported only now."""
    if not recipe.report:
        return []
    from bozzetto.registry.discovery import Registry, installed_sources
    from bozzetto.registry.sources import import_limit_s
    from bozzetto_report.facts import read_run
    from bozzetto_report.page import write_report

    registry = Registry.discover(installed_sources(os.environ), limit_s=import_limit_s(os.environ))
    return [write_report(read_run(run_folder), registry)]
