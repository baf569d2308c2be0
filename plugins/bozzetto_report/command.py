"""`bozzetto report`: writes the page of a run, or one that shows several runs side by side. Imports no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from bozzetto.commands import Host
from bozzetto.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `report`."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN",
        help="run folder, finished or not; several are compared in one page",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FILE",
        help="write the page here; default: RUN/report.html, and comparison.html for several runs",
    )  # fmt: skip


def run(options: argparse.Namespace, host: Host) -> int:
    """Write the page and say where it is."""
    from bozzetto_report.facts import read_run
    from bozzetto_report.page import COMPARISON, write_comparison, write_report

    target: Path | None = options.out
    if target is not None and not target.parent.is_dir():
        raise UserError(f"--out: there is no folder {target.parent}. Make it first, or choose another.")
    if target is not None and target.is_dir():
        raise UserError(f"--out: {target} is a folder. Name a file in it: {target / 'report.html'}")
    runs = [read_run(path.expanduser()) for path in options.runs]
    if len(runs) == 1:
        written = write_report(runs[0], host.registry(), target)
    else:
        written = write_comparison(runs, target or Path(COMPARISON))
    print(f"wrote     {written}  ({written.stat().st_size / 1e6:.2f} MB)")
    return 0
