"""Runs the selected benchmarks and returns their results as records."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bozzetto.engine.build import build_system
from bozzetto.recipe import Recipe
from bozzetto.registry.discovery import Registry
from bozzetto_bench.candidates import Peer
from bozzetto_bench.cases import CASES, OURS, Case, Sizes
from bozzetto_bench.limits import Effort, Limit, ideal_seconds, limits
from bozzetto_bench.steps import StepTimes, system_without_prior, time_steps
from bozzetto_bench.sweep import Point
from bozzetto_bench.timing import Now, Timing, interleaved, threads

QUOTED_STEP = 25.6
"""Seconds of a shaded 64 x 64 step of stable-dreamfusion's torch path on one core; quoted, not measured here."""

LEAST_SAMPLES = 64
"""Minimum samples per hit ray for a comparable step: the default of stable-dreamfusion."""

RECIPE = "dreamfusion-sd"

SHADED = (
    "system.material.albedo_until_step=0", "system.material.albedo_probability=0",
    "system.material.textureless_probability=0", "system.tasks.random.views.height=64",
    "system.tasks.random.views.width=64", "system.renderer.samples_per_ray=240",
)  # fmt: skip
"""Overrides of the bundled recipe: every step is shaded with normals, at least `LEAST_SAMPLES` samples per hit ray."""

LARGE_GRID = (
    *SHADED, "system.geometry.levels=16", "system.geometry.log2_table_size=19", "system.geometry.base_resolution=16",
    "system.geometry.finest_resolution=2048", "system.geometry.interpolation=linear",
    "system.geometry.hidden_layers=2", "system.renderer.samples_per_ray=144",
    "system.renderer.occupancy_threshold=0", "system.renderer.update_every=1000000",
)  # fmt: skip
"""`SHADED` with the largest grid of stable-dreamfusion, and no sample skipped in the whole cube."""


@dataclass(frozen=True)
class Row:
    """Result of one case."""

    kernel: str
    name: str
    timings: Mapping[str, Timing]
    """Timings by label; the compiled kernel's label is `bozzetto`."""
    limits: tuple[str, ...]
    share: float | None
    """Minimum possible time divided by the measured time, in (0, 1]; None if a limit is unknown."""
    scaling: float | None
    """Time on one thread divided by the time on two; None on a single core."""

    def ratio(self, label: str) -> float:
        """Return the median time of another implementation divided by that of the compiled kernel."""
        return self.timings[label].median / self.timings[OURS].median


@dataclass(frozen=True)
class Thoroughness:
    """Settings of how much to measure."""

    sizes: Sizes = Sizes()
    effort: Effort = Effort()
    repeats: int = 9
    budget: float = 10.0
    """Seconds after which a slow candidate is no longer repeated."""
    now: Now = time.perf_counter
    """Clock. `time.process_time` excludes other processes, but makes `scaling` meaningless."""
    steps: int = 16
    """Training steps per measurement; a multiple of the renderer's `update_every` gives unbiased means."""
    sweep_pixels: tuple[int, ...] = (16, 32, 48, 64)
    sweep_samples: tuple[int, ...] = (32, 64, 96, 128)


QUICK = Thoroughness(
    Sizes(points=32768, rays=2048, cells=64, image=128, rings=64, texels=256),
    Effort(numbers=1 << 22, accesses=1 << 20, side=512),
    repeats=3, budget=2.0, steps=4, sweep_pixels=(16, 32), sweep_samples=(32, 96),
)  # fmt: skip
"""Settings for rough numbers within a minute."""


def kernel_rows(only: Sequence[str], how: Thoroughness, peers: Sequence[Peer]) -> Iterator[Row]:
    """Time the cases of the selected kernels (all if `only` is empty)."""
    known = limits(how.effort)
    for kernel, cases in CASES.items():
        if not only or kernel in only:
            for case in cases(how.sizes, peers):
                yield row_of(case, known, how)


def row_of(case: Case, known: Mapping[str, Limit], how: Thoroughness) -> Row:
    """Time one case, interleaved with the limits it uses."""
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
    """Time the first stage of a recipe: the whole step, and the step without the diffusion prior."""
    system = build_system(recipe.stages[0], recipe, registry, weights, device, None, lambda line: None)
    whole = time_steps(system, how.steps, now=how.now)
    return whole, time_steps(system_without_prior(recipe, registry, device), how.steps, now=how.now)


def sweep(
    load: Callable[[Iterable[str]], Recipe], registry: Registry, device: torch.device, how: Thoroughness
) -> list[Point]:
    """Time the step without the prior for each combination of image size and samples per ray."""
    points = []
    for pixels in how.sweep_pixels:
        for samples in how.sweep_samples:
            changes = (
                f"system.tasks.random.views.height={pixels}", f"system.tasks.random.views.width={pixels}",
                f"system.renderer.samples_per_ray={samples}", "system.material.albedo_until_step=0",
            )  # fmt: skip
            system = system_without_prior(load(changes), registry, device)
            times = time_steps(system, max(how.steps // 2, 2), now=how.now)
            points.append(Point(times.rays, times.samples, times.whole))
    return points
