"""Overrides of an existing run: each is applied and kept, or rejected with an alternative. Imports no torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bozzetto.config import layers
from bozzetto.config.loading import load_recipe
from bozzetto.config.overrides import effective
from bozzetto.config.stages import stages_from
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError
from bozzetto.machine.accelerators import Accelerator
from bozzetto.parameters import PARTS
from bozzetto.recipe import Recipe, Stage
from bozzetto.registry.discovery import Registry

State = Literal["fresh", "begun", "finished"]

FREE = ("device", "image", "export", "summary", "plugins", "report")
"""Keys that can be changed whatever has been trained; `image` updates the path of a moved photo."""
STAYS = ("output", "name")
"""Keys that determine the run folder."""
OPTIMIZER_STATE = ("type", "betas", "eps", "weight_decay")
"""Optimiser fields that are part of its saved state."""
EXPORTED = ("system.renderer", "system.material", "system.background")
"""Parts whose fields an export reads, besides the trained parameters."""


@dataclass(frozen=True)
class Amended:
    """Recipe of a run, as kept in its run folder and with overrides."""

    kept: Recipe
    recipe: Recipe
    overrides: Sequence[str]
    folder: RunFolder

    def require_resumable(self, from_stage: str | None) -> tuple[str, ...]:
        """Raise `ConfigError` unless every override affects what is still to be trained or exported.

        Args:
            from_stage: first stage to train again, if any.

        Returns:
            Notices on overrides that do not affect finished stages.
        """
        states = self.states(from_stage)
        self._require_order(states)
        told = []
        for item in self.overrides:
            for key in layers.leaves(layers.parse_overrides([item])):
                told += self._check(item, key, states)
        return tuple(told)

    def require_exportable(self) -> None:
        """Raise `ConfigError` unless every override affects an export, which trains nothing."""
        last = self.recipe.stages[-1]
        views = tuple(f"system.tasks.{task.name}.views" for task in last.tasks)
        for item in self.overrides:
            for key in layers.leaves(layers.parse_overrides([item])):
                inner = key.removeprefix(f"stages.{last.name}.")
                part = inner.split(".")[1] if inner.startswith(EXPORTED) else ""
                if key.partition(".")[0] not in FREE and not inner.startswith((*EXPORTED, *views)):
                    raise ConfigError(
                        f"{shlex.quote(item)}: {key} acts on training, and an export takes what was trained. It reads "
                        f"export.*, device and the fields of renderer, material, background and views. To train "
                        f"with it: --config {self.folder.recipe_file} {shlex.quote(item)}"
                    )
                if part and self._other_type(last, part):
                    raise ConfigError(f"{shlex.quote(item)}: the run has trained another type of {part}.")

    def states(self, from_stage: str | None) -> dict[str, State]:
        """Return the state of each stage, given the steps that the recipe requests now."""
        again = {stage.name for stage in stages_from(self.recipe.stages, from_stage)} if from_stage else set()
        states: dict[str, State] = {}
        for stage in self.recipe.stages:
            if stage.name in again or not self.folder.checkpoint(stage.name).is_file():
                states[stage.name] = "fresh"
            else:
                done = self.folder.finished(stage.name, stage.trainer.steps)
                states[stage.name] = "finished" if done else "begun"
        return states

    def _require_order(self, states: Mapping[str, State]) -> None:
        """Raise `ConfigError` if a stage to be trained on has a successor that was already initialised from it."""
        for stage, after in zip(self.recipe.stages, self.recipe.stages[1:], strict=False):
            if states[stage.name] != "finished" and states[after.name] != "fresh" and after.inherit:
                raise ConfigError(
                    f"stages.{stage.name}.trainer.steps: stage {after.name} has started from {stage.name} as it was "
                    f"after {self.folder.steps_of(stage.name)} steps. Train it again too: --from-stage {after.name}"
                )

    def _check(self, item: str, key: str, states: Mapping[str, State]) -> list[str]:
        """Reject the override of one key, or return notices on the stages that it does not affect."""
        top, _, rest = key.partition(".")
        if top in FREE or (top in STAYS and self._value("", key, self.kept) == self._value("", key, self.recipe)):
            return []
        if top in STAYS:
            raise ConfigError(f"{shlex.quote(item)}: a run stays in its folder. Move the folder, or start a new run.")
        if top == "stages":
            name, _, key = rest.partition(".")
            stages = [stage for stage in self.recipe.stages if stage.name == name]
        else:
            stages = list(self.recipe.stages)
        changed = [s for s in stages if self._value(s.name, key, self.kept) != self._value(s.name, key, self.recipe)]
        for stage in changed:
            if states[stage.name] == "begun" and (why := self._fixed(stage, key)):
                raise ConfigError(
                    f"{shlex.quote(item)}: {why} of stage {stage.name}, which has begun. Train it again: --from-stage "
                    f"{stage.name} {shlex.quote(item)}; or start a new run: {self._new_run(item)}"
                )
        done = [stage.name for stage in changed if states[stage.name] == "finished"]
        if changed and len(done) == len(changed):
            raise ConfigError(
                f"{shlex.quote(item)}: it would change nothing: stage {', '.join(done)} has finished. Train on with "
                f"more steps (it has trained {self.folder.steps_of(done[0])}): trainer.steps=N; train it again: "
                f"--from-stage {done[0]} {shlex.quote(item)}; or start a new run: {self._new_run(item)}"
            )
        return [f"{key} does not reach stage {name}, which has finished" for name in done]

    def _value(self, stage: str, key: str, recipe: Recipe) -> Any:
        """Return the value of a key in a stage of a recipe."""
        if key.partition(".")[0] in ("system", "trainer"):
            return layers.value_at(effective(recipe.values, stage), key)
        if hasattr(recipe, key):
            return getattr(recipe, key)
        return layers.value_at(recipe.values, f"stages.{stage}.{key}" if key else f"stages.{stage}")

    def _fixed(self, stage: Stage, key: str) -> str:
        """Return why a key cannot change in a stage that has begun; empty if it can."""
        if key == "seed":
            return "the random numbers continue where they stopped, so the seed acts no more in the middle"
        if key.startswith("system.geometry"):
            return "the geometry is built and trained, so its fields are fixed in the middle"
        parts = key.split(".")
        if parts[0] == "system" and len(parts) > 1 and parts[1] in PARTS and self._other_type(stage, parts[1]):
            return f"another type of {parts[1]} has no trained parameters, so it is fixed in the middle"
        if parts[:2] == ["system", "optimizer"]:
            before = next(s for s in self.kept.stages if s.name == stage.name).optimizer
            if (parts[2:3] and parts[2] in OPTIMIZER_STATE) or before.lr_of.keys() != stage.optimizer.lr_of.keys():
                return f"the optimiser's state is kept, so {key} is fixed in the middle"
        return ""

    def _other_type(self, stage: Stage, part: str) -> bool:
        before = next((s for s in self.kept.stages if s.name == stage.name), stage)
        return bool(getattr(before, part).entry != getattr(stage, part).entry)

    def _new_run(self, item: str) -> str:
        return f"--config {self.folder.recipe_file} {shlex.quote(item)}"


def load_amended(folder: RunFolder, registry: Registry, overrides: Sequence[str], hardware: Accelerator) -> Amended:
    """Load the recipe of a run folder, without and with overrides.

    An override of `image` replaces the photo's old path everywhere in the recipe.

    Raises:
        UserError: as in `load_recipe`; or the manifest is damaged.
    """
    kept = load_recipe(folder.recipe_file, registry, (), folder.profile, hardware)
    recipe = load_recipe(folder.recipe_file, registry, overrides, folder.profile, hardware) if overrides else kept
    if recipe.image != kept.image and kept.image:
        places = [key for key in layers.leaves(kept.values) if layers.value_at(kept.values, key) == kept.image]
        moved = [f"{key}={json.dumps(recipe.image)}" for key in places if key != "image"]
        recipe = load_recipe(folder.recipe_file, registry, [*moved, *overrides], folder.profile, hardware)
    recipe = replace(recipe, profile_reason="as this run was started")
    return Amended(kept, recipe, overrides, folder)
