"""Folder of one run: `outputs/<recipe>/<prompt slug>-<id>/`.

recipe.yaml            the recipe as it ran, profile and overrides applied
manifest.json          versions, seed, weights and their hashes, hardware, command, results of each stage
checkpoints/           one resumable file per stage
images/                validation images
metrics/               a CSV per stage, and TensorBoard events
export/                mesh, texture, turntable, contact sheet
changes.json           fields that were changed while it trained, with their steps
live/                  what viewers and the training tell one another
log.txt                lines that the run has told its user
.lock                  held by the process that uses the folder
"""

from __future__ import annotations

import json
import platform
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import yaml

from bozzetto.errors import RunFolderError
from bozzetto.files import remove_unfinished, slug, write_text
from bozzetto.recipe import Recipe

PACKAGES = ("bozzetto", "torch", "diffusers", "transformers", "lightning-fabric", "numpy", "trimesh", "xatlas")


@dataclass(frozen=True)
class RunFolder:
    """Paths and records of a run; independent of torch."""

    path: Path

    @classmethod
    def create(cls, recipe: Recipe, command: Sequence[str], weights: Mapping[str, Any]) -> RunFolder:
        """Create a new folder below `recipe.output` and write what is known before the first step."""
        root = Path(recipe.output) / slug(recipe.name)
        folder = cls(root / f"{slug(recipe.subject)}-{secrets.token_hex(3)}")
        folder.make_parts()
        folder.write_recipe(recipe)
        folder.record(
            {
                "recipe": recipe.name,
                "prompt": recipe.prompt,
                "image": recipe.image,
                "seed": recipe.seed,
                "profile": recipe.profile,
                "command": list(command),
                "weights": dict(weights),
                "hardware": {
                    "machine": platform.machine(),
                    "system": platform.platform(),
                    "python": platform.python_version(),
                },
                "versions": installed_versions(),
                "stages": {},
            }
        )
        return folder

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Open the folder of an earlier run.

        Raises:
            RunFolderError: the folder is not one, or its manifest is damaged.
        """
        folder = cls(path)
        if not folder.recipe_file.is_file() or not folder.manifest_file.is_file():
            raise RunFolderError(
                f"{path} is not a run folder: it has no recipe.yaml and manifest.json.{_runs_below(path)}"
            )
        _ = folder.profile  # reads and checks the manifest
        return folder

    def make_parts(self) -> None:
        """Create the missing subfolders of a run."""
        for part in (self.checkpoints, self.images, self.metrics, self.export):
            part.mkdir(parents=True, exist_ok=True)

    def tidy(self) -> None:
        """Recreate deleted subfolders, and remove partial files of a killed process."""
        self.make_parts()
        remove_unfinished(self.path)

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the recipe as it runs."""
        values = {**recipe.values, "provided_by": recipe.provided_by, "profiles": {recipe.profile: {}}}
        write_text(self.recipe_file, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))

    @property
    def recipe_file(self) -> Path:
        """The recipe as it runs (YAML)."""
        return self.path / "recipe.yaml"

    @property
    def manifest_file(self) -> Path:
        """Facts about the run (JSON)."""
        return self.path / "manifest.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of one checkpoint per stage."""
        return self.path / "checkpoints"

    @property
    def images(self) -> Path:
        """Folder of validation and debug images (PNG)."""
        return self.path / "images"

    @property
    def metrics(self) -> Path:
        """Folder of metrics: a CSV per stage, and TensorBoard events."""
        return self.path / "metrics"

    @property
    def export(self) -> Path:
        """Folder of exported files."""
        return self.path / "export"

    @property
    def log(self) -> Path:
        """Lines that the run has told its user (text)."""
        return self.path / "log.txt"

    def checkpoint(self, stage: str) -> Path:
        """Return the checkpoint path of a stage."""
        return self.checkpoints / f"{slug(stage)}.ckpt"

    @property
    def manifest(self) -> dict[str, Any]:
        """Manifest of the run so far.

        Raises:
            RunFolderError: it is damaged.
        """
        if not self.manifest_file.is_file():
            return {}
        try:
            facts = json.loads(self.manifest_file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise RunFolderError(self._damaged(str(error))) from error
        if not isinstance(facts, dict):
            raise RunFolderError(self._damaged("it is not a mapping"))
        for name in ("stages", "exports"):
            entries = facts.get(name, {})
            if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
                raise RunFolderError(self._damaged(f"its {name!r} are not a mapping of mappings"))
        return facts

    @property
    def profile(self) -> str:
        """Profile with which the run was started.

        Raises:
            RunFolderError: the manifest does not contain it.
        """
        profile = self.manifest.get("profile")
        if not isinstance(profile, str):
            raise RunFolderError(self._damaged("it does not say with which profile the run was started"))
        return profile

    def steps_of(self, stage: str) -> int:
        """Return the steps of a stage when it last finished; 0 if it never did."""
        steps = self.manifest.get("stages", {}).get(stage, {}).get("steps", 0)
        return steps if isinstance(steps, int) else 0

    def _damaged(self, why: str) -> str:
        return (
            f"The manifest of this run, {self.manifest_file}, is damaged: {why}. Put a copy of it back, or start a new "
            f"run from its recipe: --config {self.recipe_file}"
        )

    def record(self, facts: Mapping[str, Any]) -> None:
        """Add facts to the manifest."""
        write_text(self.manifest_file, json.dumps({**self.manifest, **facts}, indent=2, default=str) + "\n")

    def keep_line(self, line: str) -> None:
        """Append a line to the log, if that is possible: no run ends because of its log."""
        with suppress(OSError), self.log.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(f"{line}\n")

    def record_end(self, state: Literal["finished", "stopped", "failed"], reason: str = "") -> None:
        """Record how the run has ended, and why; a run that was killed has no such record."""
        at = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        self.record({"end": {"state": state, "reason": reason, "at": at}})

    def record_resumed(self, recipe: Recipe, command: Sequence[str]) -> None:
        """Record the recipe and the command of a resumed run; the first command is kept."""
        commands = self.manifest.get("resumed_with")
        self.record(
            {
                "prompt": recipe.prompt,
                "image": recipe.image,
                "seed": recipe.seed,
                "resumed_with": [*(commands if isinstance(commands, list) else []), list(command)],
            }
        )
        self.write_recipe(recipe)

    def record_stage(self, stage: str, facts: Mapping[str, Any]) -> None:
        """Add facts about one stage to the manifest."""
        stages = self.manifest.get("stages", {})
        self.record({"stages": {**stages, stage: {**stages.get(stage, {}), **facts}}})

    def record_export(self, name: str, files: Sequence[Path], facts: Mapping[str, Any]) -> None:
        """Record the files of one exporter in the manifest, and remove its obsolete files.

        Files of other exporters are kept, unless this one has overwritten them, which changes their owner.
        """
        written = [path.relative_to(self.path).as_posix() for path in files]
        before = self.manifest.get("exports", {})
        others = {
            other: {**entry, "files": [file for file in entry.get("files", []) if file not in written]}
            for other, entry in before.items()
            if other != name
        }
        kept = {*written, *(file for entry in others.values() for file in entry["files"])}
        self._remove_exported([file for file in before.get(name, {}).get("files", []) if file not in kept])
        self.record({"exports": {**before, **others, name: {"files": written, **facts}}})

    def _remove_exported(self, files: Sequence[str]) -> None:
        """Remove files of earlier exports; paths outside `export/` are ignored."""
        for file in files:
            path = self.path / file
            if path.parent.resolve().is_relative_to(self.export.resolve()) and path.is_file():
                path.unlink()

    def forget_stage(self, stage: str) -> None:
        """Remove a stage's checkpoint and images, so that it is trained again from its start."""
        self.checkpoint(stage).unlink(missing_ok=True)
        for picture in self.images.glob(f"{stage}-[0-9]*.png"):
            picture.unlink()
        self.record_stage(stage, {"finished": False, "steps": 0, "seconds_by_part": {}})

    def finished(self, stage: str, steps: int) -> bool:
        """Return whether a stage has finished with at least `steps` steps and its checkpoint still exists."""
        done = bool(self.manifest.get("stages", {}).get(stage, {}).get("finished"))
        return done and self.steps_of(stage) >= steps and self.checkpoint(stage).is_file()


def _runs_below(path: Path) -> str:
    """Return a hint if the given folder contains runs, as `outputs/dreamfusion-sd` does."""
    runs = sorted(item.parent for item in path.glob("*/manifest.json")) if path.is_dir() else []
    return f" Did you mean {runs[-1]}?" if runs else ""


def installed_versions() -> dict[str, str]:
    """Return the versions of relevant installed packages."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
