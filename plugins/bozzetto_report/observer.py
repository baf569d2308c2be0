"""Observer that writes `report.html` when a run ends, well or not. Whatever fails here is told by the host."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bozzetto import hookimpl


@hookimpl
def bozzetto_run_finished(run_folder: Path) -> Iterable[Path]:
    """Write the report of a finished run."""
    return _written(run_folder)


@hookimpl
def bozzetto_run_failed(run_folder: Path) -> Iterable[Path]:
    """Write the report of a run that ended early, up to where it came."""
    return _written(run_folder)


def _written(run_folder: Path) -> Iterable[Path]:
    """Write the report unless the recipe says `report: false`; what that takes is imported only now."""
    from bozzetto.registry.discovery import Registry, installed_sources
    from bozzetto.registry.sources import import_limit_s
    from bozzetto_report.facts import read_run
    from bozzetto_report.page import write_report

    run = read_run(run_folder)
    if run.recipe.get("report") is False:
        return []
    registry = Registry.discover(installed_sources(os.environ), limit_s=import_limit_s(os.environ))
    return [write_report(run, registry)]
