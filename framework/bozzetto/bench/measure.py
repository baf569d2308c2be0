"""Runs the chosen parts of the benchmark and puts the results in records."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bozzetto.bench.candidates import Peer
from bozzetto.bench.cases import CASES, OURS, Case, Sizes
from bozzetto.bench.limits import Effort, Limit, ideal_seconds, limits
from bozzetto.bench.steps import StepTimes, system_without_prior, time_steps
from bozzetto.bench.sweep import Point
from bozzetto.bench.timing import Now, Timing, interleaved, threads
from bozzetto.build import build_system
from bozzetto.recipe import Recipe
from bozzetto.registry import Registry

QUOTED_STEP = 25.6
"""Seconds of a shaded 64 x 64 step of stable-dreamfusion's torch path on one core: quoted, not measured here."""

LEAST_SAMPLES = 64
"""Per ray that hits, of the step compared with it: what that project takes by default."""

RECIPE = "dreamfusion-sd"

SHADED = (
    "system.material.albedo_until_step=0", "system.material.albedo_probability=0",
    "system.material.textureless_probability=0", "system.tasks.random.views.height=64",
    "system.tasks.random.views.width=64", "system.renderer.samples_per_ray=240",
)  # fmt: skip
"""The bundled recipe, every step lit by normals and at least `LEAST_SAMPLES` samples on a ray that hits."""

LARGE_GRID = (
    *SHADED, "system.geometry.levels=16", "system.geometry.log2_table_size=19", "system.geometry.base_resolution=16",
    "system.geometry.finest_resolution=2048", "system.geometry.interpolation=linear",
    "system.geometry.hidden_layers=2", "system.renderer.samples_per_ray=144",
    "system.renderer.occupancy_threshold=0", "system.renderer.update_every=1000000",
)  # fmt: skip
"""The same with that project's largest grid, and no sample skipped in the whole cube."""


@dataclass(frozen=True)
class Row:
    """What came out of one case."""

    kernel: str
    name: str
    timings: Mapping[str, Timing]
    """By label; ours is `bozzetto`."""
    limits: tuple[str, ...]
    share: float | None
    """Of the limits: the least possible time over ours; None where a limit is not known."""
    scaling: float | None
    """Our time on one thread over that on two; None where there is one core."""

    def ratio(self, label: str) -> float:
        """How many times as long as ours another form takes."""
        return self.timings[label].median / self.timings[OURS].median


@dataclass(frozen=True)
class Thoroughness:
    """How much to measure."""

    sizes: Sizes = Sizes()
    effort: Effort = Effort()
    repeats: int = 9
    budget: float = 10.0
    """Seconds after which a slow candidate leaves the rounds."""
    now: Now = time.perf_counter
    """The clock. `time.process_time` leaves out what other processes take; with it, scaling means nothing."""
    steps: int = 16
    """Training steps per measurement, a multiple of the renderer's `update_every` for fair means."""
    sweep_pixels: tuple[int, ...] = (16, 32, 48, 64)
    sweep_samples: tuple[int, ...] = (32, 64, 96, 128)


QUICK = Thoroughness(
    Sizes(points=32768, rays=2048, cells=64, image=128, rings=64, texels=256),
    Effort(numbers=1 << 22, accesses=1 << 20, side=512),
    repeats=3, budget=2.0, steps=4, sweep_pixels=(16, 32), sweep_samples=(32, 96),
)  # fmt: skip
"""A look in a minute; the numbers are rough."""


def kernel_rows(only: Sequence[str], how: Thoroughness, peers: Sequence[Peer]) -> Iterator[Row]:
    """Time the cases of the chosen kernels (none chosen: all), each with the limits it is measured against."""
    known = limits(how.effort)
    for kernel, cases in CASES.items():
        if not only or kernel in only:
            for case in cases(how.sizes, peers):
                yield row_of(case, known, how)


def row_of(case: Case, known: Mapping[str, Limit], how: Thoroughness) -> Row:
    """Time one case; the limits it uses are measured in the same rounds."""
    used = {name: known[name] for name in case.work if name in known}
    runs = {**case.runs, **{f"limit {name}": limit.run for name, limit in used.items()}}
    found = interleaved(runs, how.repeats, how.budget, how.now)
    ideal = ideal_seconds(case.work, {name: limit.rate(found[f"limit {name}"]) for name, limit in used.items()})
    timings = {label: found[label] for label in case.runs}
    share = None if ideal is None else ideal / timings[OURS].median
    return Row(case.kernel, case.name, timings, tuple(case.work), share, _scaling(case.runs[OURS], how))


def _scaling(run: Callable[[], object], how: Thoroughness) -> float | None:
    one_core = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < 2
    if one_core or how.now is not time.perf_counter:
        return None

    def on(count: int) -> Callable[[], None]:
        def run_on() -> None:
            with threads(count):
                run()

        return run_on

    found = interleaved({"one": on(1), "two": on(2)}, how.repeats, how.budget)
    return found["one"].median / found["two"].median


def recipe_step(
    recipe: Recipe, registry: Registry, weights: Mapping[str, Path], device: torch.device, how: Thoroughness
) -> tuple[StepTimes, StepTimes]:
    """A recipe's first stage: the whole step, and the step without the prior."""
    system = build_system(recipe.stages[0], recipe, registry, weights, device, None, lambda line: None)
    whole = time_steps(system, device, how.steps, now=how.now)
    return whole, time_steps(system_without_prior(recipe, registry, device), device, how.steps, now=how.now)


def sweep(
    load: Callable[[Iterable[str]], Recipe], registry: Registry, device: torch.device, how: Thoroughness
) -> list[Point]:
    """The step without the prior at every combination of picture size and samples along a ray."""
    points = []
    for pixels in how.sweep_pixels:
        for samples in how.sweep_samples:
            changes = (
                f"system.tasks.random.views.height={pixels}", f"system.tasks.random.views.width={pixels}",
                f"system.renderer.samples_per_ray={samples}", "system.material.albedo_until_step=0",
            )  # fmt: skip
            system = system_without_prior(load(changes), registry, device)
            times = time_steps(system, device, max(how.steps // 2, 2), now=how.now)
            points.append(Point(times.rays, times.samples, times.whole))
    return points
