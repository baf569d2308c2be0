"""What there is to show of a run: the scene of each stage, as its checkpoint or the running training holds it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bozzetto.config.loading import load_recipe
from bozzetto.engine.build import build_scene
from bozzetto.engine.changes import Changes, recipe_with
from bozzetto.engine.checkpoints import read_checkpoint
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.run_lock import HOLDER
from bozzetto.kinds.scene import Scene
from bozzetto.live import Live, State
from bozzetto.parameters import PARTS
from bozzetto.recipe import Recipe, Stage
from bozzetto.registry.discovery import Registry

Version = tuple[str, int, int]
"""Path, time of the last change in ns, and size of a file."""


@dataclass(frozen=True)
class Loaded:
    """Scene in memory."""

    scene: Scene
    stage: str
    step: int
    version: Version


class Source:
    """Reads a run folder, again and again. A deleted or half-written one yields what was read before.

    Args:
        device: where the scene is rendered.
    """

    def __init__(self, folder: RunFolder, registry: Registry, device: torch.device) -> None:
        self.folder, self.registry, self.device = folder, registry, device
        self.live = Live(folder.path)
        self._loaded: Loaded | None = None
        self._changed: tuple[Version | None, Recipe] | None = None

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe as the run began."""
        return load_recipe(self.folder.recipe_file, self.registry, (), self.folder.profile)

    def changed_recipe(self) -> Recipe:
        """Return the recipe with all changes that were made while the run trained; read again only after a change."""
        record = Changes(self.folder)
        version = _version(record.file)
        if self._changed is None or self._changed[0] != version:
            changes = record.read(self.recipe)
            self._changed = (version, recipe_with(self.recipe, changes, self.folder, self.registry))
        return self._changed[1]

    @property
    def deleted(self) -> bool:
        """Whether the run folder does not exist any more."""
        return not self.folder.manifest_file.is_file()

    @property
    def training(self) -> bool:
        """Whether a process trains the run now, or exports it."""
        holder = self._holder()
        if holder is None:
            return False
        if holder["machine"] != platform.node():
            return True  # what can be known from here
        try:
            os.kill(int(holder["process"]), 0)
        except PermissionError:
            return True
        except (OSError, ValueError):
            return False
        return True

    def state(self) -> State | None:
        """Return where the training is; None: the process that trains now has published nothing yet."""
        found, holder = self.live.state(), self._holder()
        if found is not None and holder is not None and found.process != holder["process"]:
            return None
        return found

    def _holder(self) -> Mapping[str, Any] | None:
        """Return process and machine that hold the run; None: nobody does."""
        try:
            found = json.loads((self.folder.path / HOLDER).read_text(encoding="utf-8"))
            return {"process": found["process"], "machine": found["machine"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def stages(self, state: State | None) -> list[str]:
        """Return the stages of which there is something to show, in their order."""
        return [stage.name for stage in self.recipe.stages if self._file(stage.name, state) is not None]

    def latest(self, state: State | None) -> str | None:
        """Return the stage that was trained last; None: nothing has been trained."""
        names = self.stages(state)
        return names[-1] if names else None

    def version(self, stage: str | None, state: State | None) -> Version | None:
        """Return the version of what `load` would return."""
        chosen = stage if stage in self.stages(state) else self.latest(state)
        file = None if chosen is None else self._file(chosen, state)
        return None if file is None else _version(file)

    def load(self, stage: str | None, state: State | None) -> Loaded | None:
        """Return the scene of a stage; None: the latest one. Reads it again only if its file has changed.

        Returns:
            None if there is none yet.
        """
        chosen = stage if stage in self.stages(state) else self.latest(state)
        file = self._file(chosen, state) if chosen is not None else None
        version = _version(file) if file is not None else None
        if file is None or version is None or chosen is None:
            return self._loaded
        if self._loaded is None or self._loaded.version != version:
            with contextlib.suppress(OSError, KeyError):  # replaced or deleted while it was read: next time
                self._loaded = self._read(chosen, file, version)
        return self._loaded

    def _file(self, stage: str, state: State | None) -> Path | None:
        """Return the newest file with the scene of a stage."""
        files = [self.folder.checkpoint(stage)]
        if state is not None and state.stage == stage and state.scene_step >= 0:
            files.append(self.live.scene)
        found = [(version[1], path) for path in files if (version := _version(path)) is not None]
        return max(found)[1] if found else None

    def _read(self, name: str, file: Path, version: Version) -> Loaded:
        if file == self.live.scene:
            saved = torch.load(file, map_location="cpu", weights_only=True)
            step, state = int(saved["step"]), saved["state_dict"]
            name = saved["stage"]
        else:
            checkpoint = read_checkpoint(file)
            step, state = int(checkpoint["global_step"]), checkpoint["state_dict"]
        (stage,) = (one for one in self.recipe.stages if one.name == name)
        return Loaded(self._scene(stage, state, step), name, step, version)

    def _scene(self, stage: Stage, state: Mapping[str, torch.Tensor], step: int) -> Scene:
        """Return the scene of a state: in the modules in memory if they fit."""
        before = self._loaded
        if before is not None and before.stage == stage.name:
            with contextlib.suppress(RuntimeError):  # a geometry that grows has other shapes now
                return _filled(before.scene, state, step)
        return _filled(build_scene(stage, self.recipe.seed, self.registry, self.device, state), state, step)


def _filled(scene: Scene, state: Mapping[str, torch.Tensor], step: int) -> Scene:
    for part in PARTS:
        prefix = f"{part}."
        module: torch.nn.Module = getattr(scene, part)
        module.load_state_dict({key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)})
    scene.geometry.set_step(step)
    return scene


def _version(path: Path) -> Version | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_mtime_ns, found.st_size
