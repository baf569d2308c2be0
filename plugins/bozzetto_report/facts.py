"""What a report says of a run, read from its folder. Whatever is missing or damaged is left out and named."""

from __future__ import annotations

import csv
import functools
import json
import math
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from bozzetto.engine.changes import Change, Changes, values_with
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.run_lock import HOLDER
from bozzetto.errors import UserError

T = TypeVar("T")

STATES = {
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "running": "still running",
    "broken off": "broken off: it was killed, or the machine was",
}
"""How a run can stand, and the words for it."""
STEERING = "steering"
"""Part of a stage's seconds: pauses, and what viewers have asked for."""
_PICTURE = re.compile(r"(?P<stage>.+)-(?P<step>[0-9]{6,12})\.png")
_STEP = re.compile(r"[0-9]{1,18}")
_NOTICE = re.compile(r"notice\s+(?P<text>.+)", re.DOTALL)


@dataclass(frozen=True)
class Picture:
    """Validation image of a stage."""

    stage: str
    step: int
    path: Path


@dataclass(frozen=True)
class Metrics:
    """Logged numbers of a stage."""

    steps: tuple[int, ...]
    columns: Mapping[str, tuple[float, ...]]
    """By name; NaN where a step logged none."""


@dataclass(frozen=True)
class StageFacts:
    """Stage of a run."""

    name: str
    wanted: int | None
    """Steps that the recipe asks for; None: it does not say."""
    steps: int
    """Steps that are known to be done."""
    finished: bool
    seconds: Mapping[str, float]
    """By part, all sessions together; empty in runs of older versions, which have `whole`."""
    metrics: Metrics

    @property
    def paused_s(self) -> float:
        """Seconds of pauses, and of what viewers have asked for."""
        return self.seconds.get(STEERING, 0.0)


@dataclass(frozen=True)
class RunFacts:
    """Run, as far as its folder tells."""

    path: Path
    manifest: Mapping[str, Any]
    recipe: Mapping[str, Any]
    """Plain values of the recipe as it ran in the end: with the changes that were made while it trained."""
    recipe_text: str
    """The recipe as the run began."""
    state: str
    """One of `STATES`."""
    reason: str
    """Why it has ended early, one line; empty: it has not, or nobody knows."""
    stages: tuple[StageFacts, ...]
    pictures: tuple[Picture, ...]
    """Oldest first."""
    notices: tuple[str, ...]
    missing: tuple[str, ...] = field(default=())
    """What could not be read, one line each."""
    changes: tuple[Change, ...] = ()
    """Changes made while it trained, in the order of the steps."""

    @property
    def subject(self) -> str:
        """What the run makes: the prompt, else the photo's name."""
        return str(self.recipe.get("prompt") or "") or Path(str(self.recipe.get("image") or "untitled")).stem

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return str(self.recipe.get("name") or self.manifest.get("recipe") or "unnamed")

    @property
    def exports(self) -> Mapping[str, Mapping[str, Any]]:
        """Facts of each exporter."""
        return mapping(self.manifest.get("exports"))

    def exported(self, name: str) -> Path | None:
        """Return an exported file; None if there is none."""
        path = self.path / "export" / name
        return path if path.is_file() else None

    @property
    def seconds(self) -> float | None:
        """Seconds of all stages and exports, without pauses; None if none is recorded."""
        known = [sum(stage.seconds.values()) - stage.paused_s for stage in self.stages if stage.seconds]
        known += [seconds for entry in self.exports.values() if (seconds := number(entry.get("seconds"))) is not None]
        return sum(known) if known else None


def read_run(path: Path) -> RunFacts:
    """Read the folder of a run, finished or not.

    Raises:
        RunFolderError: it is no run folder, or its manifest is damaged.
    """
    folder = RunFolder.existing(path)
    missing: list[str] = []

    def read(what: str, reader: Callable[[], T], default: T) -> T:
        try:
            return reader()
        except (OSError, ValueError, yaml.YAMLError, csv.Error, RecursionError, UserError) as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            missing.append(f"{what} cannot be read: {why}")
            return default

    manifest = folder.manifest
    text = read("recipe.yaml", lambda: folder.recipe_file.read_text(encoding="utf-8"), "")
    recipe = mapping(read("recipe.yaml", lambda: yaml.safe_load(text), {}))
    names = _stage_names(recipe, manifest)
    none: list[Change] = []
    changes = read("changes.json", lambda: Changes(folder).of_stages(names), none)
    recipe = read("changes.json", lambda: values_with(recipe, changes), recipe)
    stages: list[StageFacts] = []
    for name in names:
        file = folder.metrics / f"{name}.csv"
        metrics = read(f"metrics/{name}.csv", functools.partial(read_metrics, file), Metrics((), {}))
        stages.append(_stage(name, recipe, manifest, metrics))
    log = read("log.txt", lambda: folder.log.read_text(encoding="utf-8") if folder.log.is_file() else "", "")
    pictures = sorted(_pictures(folder.images, names), key=lambda one: (names.index(one.stage), one.step))
    state, reason = _end(folder, manifest, stages)
    return RunFacts(
        path=path,
        manifest=manifest,
        recipe=recipe,
        recipe_text=text,
        state=state,
        reason=reason,
        stages=tuple(stages),
        pictures=tuple(pictures),
        notices=_notices(recipe, log),
        missing=tuple(missing),
        changes=tuple(changes),
    )


def read_metrics(file: Path) -> Metrics:
    """Read the numbers of a stage; rows without a step are left out, and what is no number is NaN."""
    if not file.is_file():
        return Metrics((), {})
    with file.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if _STEP.fullmatch(row.get("step") or "")]
    names = [name for name in (rows[0] if rows else {}) if name not in ("step", None)]
    columns = {name: tuple(as_float(row.get(name)) for row in rows) for name in names}
    return Metrics(tuple(int(row["step"]) for row in rows), columns)


def as_float(text: object) -> float:
    """Return a number; NaN for whatever is none."""
    try:
        return float(text) if isinstance(text, str | int | float) else math.nan
    except ValueError:
        return math.nan


def number(value: object) -> float | None:
    """Return a finite number; None for anything else."""
    found = as_float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    return found if math.isfinite(found) else None


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def measures(run: RunFacts) -> dict[str, Any]:
    """Return what the exporters have recorded, by `exporter: name` and `file: name`; no names of files, no seconds."""
    found = {}
    for exporter, entry in run.exports.items():
        for name, value in entry.items():
            if name not in ("files", "seconds", "verified"):
                found[f"{exporter}: {name}"] = value
        for file, facts in mapping(entry.get("verified")).items():
            found |= {f"{file}: {name}": value for name, value in mapping(facts).items()}
    return found


def at(values: Mapping[str, Any], *keys: str) -> Any:
    """Return the value below nested keys; None if there is none."""
    found: Any = values
    for key in keys:
        found = mapping(found).get(key)
    return found


def _stage_names(recipe: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """Return the names of the stages in their order; what could not name a file is left out."""
    said = {name: value for name, value in mapping(recipe.get("stages")).items() if value is not None}
    named = [name for name in said or mapping(manifest.get("stages")) if re.fullmatch("[A-Za-z0-9_-]+", str(name))]
    return named or ["main"]


def _stage(name: str, recipe: Mapping[str, Any], manifest: Mapping[str, Any], metrics: Metrics) -> StageFacts:
    said = mapping(at(manifest, "stages", name))
    wanted = at(recipe, "stages", name, "trainer", "steps") or at(recipe, "trainer", "steps")
    done = [said.get("steps", 0), *metrics.steps[-1:]]
    by_part = {
        str(part): value
        for part, given in mapping(said.get("seconds_by_part")).items()
        if (value := number(given)) is not None
    }
    whole = number(said.get("seconds"))
    return StageFacts(
        name=name,
        wanted=wanted if isinstance(wanted, int) else None,
        steps=max((steps for steps in done if isinstance(steps, int)), default=0),
        finished=said.get("finished") is True,
        seconds=by_part or ({} if whole is None else {"whole": whole}),
        metrics=metrics,
    )


def _pictures(folder: Path, stages: Sequence[str]) -> Sequence[Picture]:
    found = [(path, _PICTURE.fullmatch(path.name)) for path in folder.glob("*.png")] if folder.is_dir() else []
    named = [Picture(match["stage"], int(match["step"]), path) for path, match in found if match]
    return [picture for picture in named if picture.stage in stages]


def _notices(recipe: Mapping[str, Any], log: str) -> tuple[str, ...]:
    """Return the notices of the recipe, and those that the run has told, each once."""
    stand_ins = recipe.get("stand_ins")
    told = [match["text"] for line in log.splitlines() if (match := _NOTICE.fullmatch(line))]
    return tuple(dict.fromkeys([*map(str, stand_ins if isinstance(stand_ins, list) else []), *told]))


def _end(folder: RunFolder, manifest: Mapping[str, Any], stages: Sequence[StageFacts]) -> tuple[str, str]:
    """Return how a run stands, and why it has ended early."""
    end = mapping(manifest.get("end"))
    if end.get("state") in STATES:
        return str(end["state"]), str(end.get("reason") or "")
    if _held(folder.path):
        return "running", ""
    old = "end" not in manifest and all(stage.finished for stage in stages)  # a run of a version that recorded no end
    return ("finished" if old else "broken off"), ""


def _held(folder: Path) -> bool:
    """Return whether a process of this machine works in a run folder, or perhaps one of another machine."""
    try:
        holder = mapping(json.loads((folder / HOLDER).read_text(encoding="utf-8")))
        if holder.get("machine") != platform.node():
            return True
        process = int(holder.get("process", 0))
        if process <= 0:  # these mean groups of processes
            return False
        os.kill(process, 0)  # sends nothing, but fails if there is no such process
    except PermissionError:  # it is another user's
        return True
    except (OSError, ValueError, TypeError):
        return False
    return True
