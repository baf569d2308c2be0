"""Runs of the outputs folder, as far as their folders tell. Imports no torch."""

from __future__ import annotations

import functools
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from bozzetto.engine.changes import Change, Changes
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.run_lock import HOLDER
from bozzetto.errors import RunFolderError
from bozzetto_studio.marks import Marks
from bozzetto_studio.processes import CLOCKS_S, PROMPT, Process, began_s, process

LOG = "studio.log"
"""File in a run folder with all that its process has printed."""
TAIL_BYTES = 30_000
_PROGRESS = re.compile(
    r"(?P<stage>\S+)  step (?P<step>\d+) of (?P<steps>\d+) \(\d+ %\)  (?P<speed>[\d.]+) steps/s  "
    r"(?:(?P<left>[\d:]+) left)?"
)
_PICTURE = re.compile(r"(?P<stage>.+)-(?P<step>[0-9]{6,12})\.png")


@dataclass(frozen=True)
class Progress:
    """Where a training is."""

    stage: str
    step: int
    steps: int
    """Steps of the stage; 0: not known."""
    speed: str = ""
    """Steps per second; empty: not known, as `left` is."""
    left: str = ""
    """Time to the end of the stage, `MM:SS`."""


@dataclass(frozen=True)
class Standing:
    """How a run stands."""

    state: str
    """One of: starting, running, stopping, finished, stopped, failed, broken off, damaged."""
    reason: str = ""
    """Why it has ended early, as the command line said it."""
    process: Process | None = None
    """Process that works in the folder; None: there is none, or it is one of another machine."""

    @property
    def busy(self) -> bool:
        """True while a process works in the folder."""
        return self.state in ("starting", "running", "stopping")


@dataclass(frozen=True)
class FoundRun:
    """Run in the outputs folder."""

    path: Path
    subject: str
    """Prompt, as it was changed last while the run trained; without one, the photo's name."""
    standing: Standing
    progress: Progress | None
    picture: Path | None
    """Its latest validation image, else its contact sheet."""
    changed_s: float
    """When its manifest was last written, seconds since the epoch."""
    changes: tuple[Change, ...] = ()
    """Changes made while it trained, in the order of the steps."""

    @property
    def name(self) -> str:
        """`RECIPE/RUN`, as in the outputs folder."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def picture_version(self) -> int:
        """Number that changes with the picture."""
        return _changed_ns(self.picture) if self.picture is not None else 0

    @property
    def when(self) -> str:
        """Local time of the last change."""
        return datetime.fromtimestamp(self.changed_s).strftime("%Y-%m-%d %H:%M")


def runs_of(outputs: Path) -> list[FoundRun]:
    """Return the runs of an outputs folder: those that are busy first, then by time, the latest first."""
    paths = [file.parent for file in outputs.glob("[!.]*/[!.]*/manifest.json")]
    found = [run for path in paths if (run := _read(path)) is not None]
    return sorted(found, key=lambda run: (not run.standing.busy, -run.changed_s))


def run_at(outputs: Path, recipe: str, name: str) -> FoundRun | None:
    """Return one run by the names of its folders; None: there is none, or the names are no names of folders."""
    for part in (recipe, name):
        if not part or part.startswith(".") or any(letter in part for letter in "/\\\0"):
            return None
    return _read(outputs / recipe / name)


def pictures_of(path: Path) -> list[tuple[str, int, Path]]:
    """Return stage, step and path of each validation image, in the order of the stages and their steps."""
    found = [
        (match["stage"], int(match["step"]), file)
        for file in path.glob("images/*.png")
        if (match := _PICTURE.fullmatch(file.name))
    ]
    order = _stages(path)
    return sorted((one for one in found if one[0] in order), key=lambda one: (order.index(one[0]), one[1]))


def _stages(path: Path) -> list[str]:
    """Return the names of the stages of a run in their order."""
    stages = _recipe_values(path / "recipe.yaml", _changed_ns(path / "recipe.yaml")).get("stages")
    return [str(name) for name in stages] if isinstance(stages, Mapping) and stages else ["main"]


def log_of(path: Path, lines: int = 60) -> str:
    """Return the last lines that a run has printed."""
    file = path / LOG if (path / LOG).is_file() else path / "log.txt"
    return "\n".join(tail(file).splitlines()[-lines:])


def tail(file: Path) -> str:
    """Return the end of a text file; empty if there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL_BYTES))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _read(path: Path) -> FoundRun | None:
    """Read a run; None: the folder is none, or has just been removed."""
    if path.is_symlink() or path.parent.is_symlink():  # it may lie anywhere, and could be removed
        return None
    try:
        changed_s = RunFolder(path).manifest_file.stat().st_mtime
        RunFolder.existing(path)
        manifest = RunFolder(path).manifest
    except (OSError, RunFolderError) as error:
        if not (path / "recipe.yaml").is_file() or not (path / "manifest.json").is_file():
            return None
        return FoundRun(path, path.name, Standing("damaged", str(error)), None, None, changed_s)
    changes = _changes(path, _changed_ns(path / "changes.json"), tuple(_stages(path)))
    prompts = [manifest.get("prompt"), *(change.value for change in changes if change.key == "prompt")]
    subject = str(prompts[-1] or "") or Path(str(manifest.get("image") or path.name)).stem
    marks = Marks.read(path)
    standing = _standing(path, manifest, marks)
    own = standing.process is not None and standing.process == marks.process
    return FoundRun(path, subject, standing, _progress(path, manifest, own), _picture(path), changed_s, changes)


def _standing(path: Path, manifest: Mapping[str, Any], marks: Marks) -> Standing:
    at_work, elsewhere = _holder(path)
    if at_work is not None:
        return Standing("stopping" if marks.asked_to_stop == at_work else "running", "", at_work)
    if elsewhere:
        return Standing("running", elsewhere)
    if marks.process is not None and marks.process.alive:
        return Standing("stopping" if marks.asked_to_stop == marks.process else "starting", "", marks.process)
    latest = _changed_ns(path / LOG) >= _changed_ns(path / "manifest.json") - 10**9  # else another one was the last
    said = last_error(tail(path / LOG)) if latest else ""
    end = manifest.get("end")
    if isinstance(end, Mapping) and end.get("state") in ("finished", "stopped", "failed"):
        state = str(end["state"])
        return Standing(state, said if state == "finished" else said or str(end.get("reason") or ""))
    return Standing("broken off", said or "Its process was killed, or the machine was switched off. It can be resumed.")


def last_error(text: str) -> str:
    """Return the error at the end of what a command has printed, without the word `error:`; empty: there is none."""
    lines = text.rpartition(f"\n{PROMPT}")[2].splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    return "\n".join(lines[starts[-1] :]).removeprefix("error: ").strip() if starts else ""


def _holder(path: Path) -> tuple[Process | None, str]:
    """Return the process of this machine that holds a run folder, or what is known of one of another machine."""
    try:
        facts = json.loads((path / HOLDER).read_text(encoding="utf-8"))
        if facts["machine"] != platform.node():
            return None, f"by process {facts['process']} on {facts['machine']}, since {facts['since']}"
        found = process(int(facts["process"]))
        since_s = datetime.fromisoformat(facts["since"]).timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""
    if found is None or began_s(found) > since_s + CLOCKS_S:  # a later process has got the same number
        return None, ""
    return found, ""


def _progress(path: Path, manifest: Mapping[str, Any], own: bool) -> Progress | None:
    """Return where a training is: from the studio's log if its process is one of the studio, else from its metrics."""
    if own and (found := list(_PROGRESS.finditer(tail(path / LOG).rpartition(f"\n{PROMPT}")[2]))):
        last = found[-1]
        return Progress(last["stage"], int(last["step"]), int(last["steps"]), last["speed"], last["left"] or "")
    values = _recipe_values(path / "recipe.yaml", _changed_ns(path / "recipe.yaml"))
    done = [(name, step) for name in _stages(path) if (step := _steps(path, manifest, name))]
    if not done:
        return None
    stage, step = done[-1]
    wanted = _at(values, "stages", stage, "trainer", "steps") or _at(values, "trainer", "steps")
    return Progress(stage, step, wanted if isinstance(wanted, int) else 0)


def _steps(path: Path, manifest: Mapping[str, Any], stage: str) -> int:
    """Return the steps of a stage that are known to be done."""
    recorded = _at(manifest, "stages", stage, "steps")
    last = tail(path / "metrics" / f"{stage}.csv").rstrip("\n").rpartition("\n")[2].partition(",")[0]
    return max(recorded if isinstance(recorded, int) else 0, int(last) if last.isdigit() else 0)


def _picture(path: Path) -> Path | None:
    sheet = path / "export" / "contact_sheet.png"
    latest = [file for _, _, file in pictures_of(path)[-1:]]
    return next(iter([*latest, *([sheet] if sheet.is_file() else [])]), None)


def _at(values: Any, *keys: str) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=4096)
def _changes(path: Path, changed_ns: int, stages: tuple[str, ...]) -> tuple[Change, ...]:
    """Return what was changed while a run trained, read anew when its record has changed; none if that is damaged."""
    try:
        return tuple(Changes(RunFolder(path)).of_stages(stages))
    except (OSError, RunFolderError):
        return ()


@functools.lru_cache(maxsize=4096)
def _recipe_values(path: Path, changed_ns: int) -> Mapping[str, Any]:
    """Return the plain values of a recipe file, read anew when it has changed; empty if it is damaged."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}
