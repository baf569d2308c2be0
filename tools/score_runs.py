"""Training of one score: the same objects with a budget of steps or of seconds, each in a folder with its result."""

from __future__ import annotations

import json
import statistics
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bozzetto
from bozzetto.files import slug, write_text
from bozzetto.recipe import Recipe

PROFILE = "cpu"
MODELS = {"bozzetto-mini"}
"""Priors that all runs share, so that only the scores differ."""
SIDES = 8
SIZE = 192
"""Side of the evaluation views, pixels: the input of the photograph judge."""
WARM_UP = 2
"""Steps that are not timed: they import kernels and fill caches."""


@dataclass(frozen=True)
class Budget:
    """Limit of a run: a number of optimiser steps, or of seconds of training."""

    amount: float
    unit: str
    """`steps` or `seconds`."""

    def __str__(self) -> str:
        return f"{self.amount:g}-{self.unit}"


@dataclass(frozen=True)
class Case:
    """One prompt with one seed, score and budget."""

    score: str
    prompt: str
    seed: int
    budget: Budget

    def folder(self, out: Path) -> Path:
        """Return the folder of its result, its views and its run."""
        return out / self.score / f"{slug(self.prompt)}-{self.seed}" / str(self.budget)

    def result(self, out: Path) -> Result | None:
        """Return the result; None if it has not finished."""
        path = self.folder(out) / "result.json"
        return Result(**json.loads(path.read_text())) if path.is_file() else None


@dataclass(frozen=True)
class Result:
    """Cost of a finished run."""

    steps: int
    own_steps: int
    """Steps of the recipe as it is shipped."""
    seconds_per_step: float
    """Seconds of processor time, mean over the steps after the warm-up; training only."""
    wall_seconds_per_step: float
    train_seconds: float
    """Seconds of processor time of all steps."""
    peak_mb: float | None
    """Highest resident memory of the process until the last step, MB (2^20 bytes); None if it had run others before."""


def shipped_scores(folder: Path, report: Any = print) -> list[str]:
    """Return `dreamfusion-sd`, then the recipes of a folder with a task that has a score, on the shared prior."""
    found = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            recipe = bozzetto.check(path, profile=PROFILE)
        except bozzetto.errors.UserError as error:
            if "score" in path.read_text(encoding="utf-8"):
                report(f"left out  {path.stem}: {error}")
            continue
        tasks = [task for stage in recipe.stages for task in stage.tasks]
        models = {part.model for task in tasks for part in (task.guidance, task.score) if part and part.has_model}
        if any(task.score for task in tasks) and models <= MODELS and not recipe.image:
            found.append(path.stem)
    return ["dreamfusion-sd", *sorted(found, key=lambda name: (name != "sds", name))]


def own_steps(recipe: Recipe) -> int:
    """Return the number of steps of all stages."""
    return sum(stage.trainer.steps for stage in recipe.stages)


def shortened(recipe: Recipe, steps: int) -> dict[str, Any]:
    """Return overrides with which a recipe has about `steps` steps, and its schedules end as much earlier or later.

    Scaled are the steps of each stage, every field whose name ends in `_step`, and `resolution_milestones`; periods
    such as `update_every` are not.
    """
    factor = steps / own_steps(recipe)
    changes = {key: value for key, value in _scaled(recipe.values, factor) if not key.endswith("trainer.steps")}
    if len(recipe.stages) == 1:
        return {**changes, "trainer.steps": steps}
    return changes | {
        f"stages.{stage.name}.trainer.steps": max(round(stage.trainer.steps * factor), 1) for stage in recipe.stages
    }


def _scaled(values: Mapping[str, Any], factor: float, where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _scaled(value, factor, f"{where}{key}.")
        elif key.endswith("_step") and isinstance(value, int):
            yield f"{where}{key}", _times(value, factor)
        elif key == "resolution_milestones":
            yield f"{where}{key}", [_times(each, factor) for each in value]


def _times(step: int, factor: float) -> int:
    return min(max(round(step * factor), 1), 10**9) if step else 0


def steps_of(case: Case, out: Path, measured: Sequence[Case]) -> int:
    """Return the steps of a case: those of its budget, or as many as take its seconds by what was `measured`.

    Raises:
        ValueError: no other case of the score has been measured.
    """
    if case.budget.unit == "steps":
        return round(case.budget.amount)
    found = [result.seconds_per_step for other in measured if (result := other.result(out))]
    if not found:
        raise ValueError(f"{case.score}: a budget of seconds needs runs with a budget of steps first")
    return max(round(case.budget.amount / statistics.median(found)), WARM_UP + 1)


def train_all(recipe: Path, cases: Sequence[tuple[Case, int]], out: Path) -> None:
    """Train cases of one score, with their numbers of steps, in this process; a failure is reported and skipped."""
    import torch

    torch.set_num_threads(1)
    for index, (case, steps) in enumerate(cases):
        try:
            result = train(recipe, case, steps, out, fresh=index == 0)
        except Exception:
            print(json.dumps({**asdict(case), "error": traceback.format_exc(limit=-3)}), flush=True)
            continue
        print(json.dumps({**asdict(case), **asdict(result)}), flush=True)


def train(recipe: Path, case: Case, steps: int, out: Path, fresh: bool) -> Result:
    """Train a case, render its views, and write `result.json` last.

    Args:
        fresh: nothing else has run in this process.
    """
    from safetensors.torch import save_file

    folder = case.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    plain = bozzetto.check(recipe, profile=PROFILE)
    changes = {
        **shortened(plain, steps), "seed": case.seed, "output": str(folder / "runs"), "export": None,
        "trainer.image_every": 0, "trainer.log_every": 1, "trainer.loggers": [],
    }  # fmt: skip
    times: list[tuple[float, float]] = []
    peak = 0.0

    def on_step(step: int, numbers: Mapping[str, float]) -> None:
        nonlocal peak
        times.append((time.process_time(), time.perf_counter()))
        peak = peak_mb()

    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        run = bozzetto.generate(
            case.prompt, recipe=recipe, overrides=changes, profile=PROFILE, on_step=on_step,
            report=lambda line: print(line, file=log, flush=True),
        )  # fmt: skip
    counted = len(times) - WARM_UP
    each, wall = ((times[-1][i] - times[WARM_UP - 1][i]) / counted for i in range(2))
    save_file({"views": views_of(run.path)}, folder / "views.safetensors")
    result = Result(
        len(times), own_steps(plain), round(each, 4), round(wall, 4), round(each * len(times), 2),
        round(peak, 1) if fresh else None,
    )  # fmt: skip
    write_text(folder / "result.json", json.dumps(asdict(result), indent=1))
    return result


def views_of(path: Path) -> Any:
    """Render a run from eight sides: uint8 "8 4 S S", RGB times opacity, then opacity."""
    import torch

    from bozzetto.engine.run_folder import RunFolder
    from finished_runs import evaluation_cameras, installed, load_run, look

    _, scene = load_run(RunFolder.existing(path), installed())
    seen = look(scene, evaluation_cameras(scene, SIDES, SIZE))
    picture = torch.cat([seen.image - (1.0 - seen.opacity), seen.opacity], dim=-1)  # the background is white
    return (picture.permute(0, 3, 1, 2).clamp(0.0, 1.0) * 255.0).round().byte().contiguous()


def peak_mb() -> float:
    """Return the highest resident memory of this process so far, MB; not its parent's, as `ru_maxrss` may."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024.0
