"""Command line: `python tools/fuzz [--family NAME] [--count N] [--seed S] [--case N]`."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from fuzz.case import Case, Verdict
from fuzz.child import environment
from fuzz.judge import last_lines
from fuzz.pool import Pool
from fuzz.report import Report, shown
from fuzz.stock import Stock

FAMILIES = {"recipes": 10_000, "images": 1_000, "meshes": 1_000, "folders": 300, "kills": 40}
"""Families, one module each, with the number of cases of a long run."""


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    made = argparse.ArgumentParser("tools/fuzz", description="Attack the program with damaged inputs.")
    made.add_argument("--family", action="append", choices=tuple(FAMILIES), help="only this one; may be repeated")
    made.add_argument(
        "--count",
        type=counts,
        default=FAMILIES,
        metavar="N",
        help="cases of each family, or recipes=60,meshes=10 for these alone; default: a long run",
    )
    made.add_argument("--seed", type=int, default=0, metavar="S", help="other cases")
    made.add_argument("--case", type=int, metavar="N", help="only this case of the family, with all it says")
    made.add_argument("--first", type=int, default=0, metavar="N", help="begin with this case")
    made.add_argument("--jobs", type=int, default=1, metavar="N", help="cases at a time")
    made.add_argument("--minutes", type=float, metavar="M", help="stop after this long, whatever the count")
    made.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="processor time of a command; or how long it may wait"
    )
    made.add_argument("--keep-going", action="store_true", help="do not stop at 20 different faults")
    made.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the files of the cases there")
    made.add_argument("--report", type=Path, metavar="FILE", help="write the faults there as Markdown, while it runs")
    return made


def counts(text: str) -> dict[str, int]:
    """Parse `"20"` or `"recipes=60,meshes=10"` into numbers of cases by family.

    Raises:
        ValueError: the text is neither; argparse reports it.
    """
    if "=" not in text:
        return dict.fromkeys(FAMILIES, int(text))
    found = {name: int(number) for name, _, number in (item.partition("=") for item in text.split(","))}
    if not found.keys() <= FAMILIES.keys():
        raise ValueError(text)
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Run the cases. Returns 0 if every invariant held, else 1."""
    options = parser().parse_args(words)
    root = Path(tempfile.mkdtemp(prefix="bozzetto-fuzz-")) if options.keep is None else options.keep.resolve()
    root.mkdir(parents=True, exist_ok=True)
    os.environ.update(environment(root))
    started = time.monotonic()
    import_everything()
    stock = Stock(root / "stock")
    shutil.rmtree(stock.folder, ignore_errors=True)
    report = Report(options.seed, options.report)
    pool = Pool(root / "cases", stock.folder, options.jobs, options.seconds, options.keep is not None)
    try:
        stock.build()
        print(f"ready after {time.monotonic() - started:.0f} s", flush=True)
        for name in options.family or options.count:
            for verdict in pool.run(
                partial(make_case, name, stock, options.seed), name, numbers(options, name, started)
            ):
                report.add(verdict)
                if options.case is not None:
                    show(verdict)
                if report.distinct >= 20 and not options.keep_going:
                    return report.finish("stopped at 20 different faults")
        return report.finish()
    except KeyboardInterrupt:
        return report.finish("stopped")
    finally:
        pool.stop()
        if options.keep is None:
            shutil.rmtree(root, ignore_errors=True)


def make_case(family: str, stock: Stock, seed: int, number: int, sandbox: Path) -> Case:
    """Write the files of a case, and bait files outside its sandbox."""
    for name in ("secret.yaml", "secret.png", "secret.glb"):
        (sandbox.parent / name).write_text("secret: 1\n")
    case: Case = importlib.import_module(f"fuzz.{family}").make(stock, seed, number, sandbox)
    return case


def numbers(options: argparse.Namespace, family: str, started: float) -> Iterator[int]:
    """Yield the numbers of the cases to run, until the time is over."""
    if options.case is not None:
        yield options.case
        return
    for number in range(options.first, options.first + options.count[family]):
        if options.minutes is not None and time.monotonic() - started > 60.0 * options.minutes:
            return
        yield number


def show(verdict: Verdict) -> None:
    """Print one case in full."""
    print(f"{verdict.case.family} {verdict.case.number}: {verdict.case.what}\noutcome: {verdict.outcome}")
    for result in verdict.results:
        print(
            f"\n$ bozzetto {shown(shlex.join(result.command.words))}\n{last_lines(result.out)}\n{last_lines(result.err)}"
        )
        print(f"exit {result.code}, {result.seconds:.1f} s, {result.peak_bytes / 1e9:.2f} GB")
    for fault in verdict.faults:
        print(f"fault: {fault.kind}\n{fault.detail}", flush=True)


def import_everything() -> None:
    """Import what the commands import, once, so that each starts in milliseconds; starts no threads."""
    import diffusers
    import transformers

    import bozzetto.cli.export
    import bozzetto.cli.run
    import bozzetto.engine.pipeline
    from bozzetto.kinds import KINDS
    from bozzetto.registry.discovery import Registry, installed_sources

    registry = Registry.discover(installed_sources({}))
    for kind in KINDS:
        for name in registry.names(kind):
            registry.implementation(kind, name)
    for module in (diffusers, transformers):  # their classes are imported lazily
        for name in (
            "AutoencoderKL",
            "UNet2DConditionModel",
            "CLIPTextModel",
            "CLIPTokenizer",
            "CLIPVisionModelWithProjection",
        ):
            getattr(module, name, None)
    with contextlib.redirect_stdout(io.StringIO()):
        bozzetto.cli.main(["check", "dreamfusion-sd"])  # to import and cache what it needs
    gc.collect()
    gc.freeze()  # so that the forked processes share these objects
