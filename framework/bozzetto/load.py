"""From a YAML file, a profile and overrides to a checked `Recipe`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bozzetto import layers
from bozzetto.config import REQUIRED, bind, convert
from bozzetto.errors import ConfigError, PluginError, UserError, did_you_mean
from bozzetto.hardware import Accelerator
from bozzetto.math.schedules import FIELDS as SCHEDULE_FIELDS
from bozzetto.math.schedules import Schedule
from bozzetto.names import Names
from bozzetto.recipe import (
    INHERITABLE,
    STAGE,
    SYSTEM,
    TASK,
    TOP,
    Component,
    Device,
    LossTerm,
    OptimizerConfig,
    Recipe,
    Stage,
    Task,
    TaskTimes,
    TrainerConfig,
)
from bozzetto.recipe_file import RecipeFile, find_recipe, first_key, read_recipe
from bozzetto.registry import Registry
from bozzetto.requirements import check_requirements
from bozzetto.spec import ComponentSpec
from bozzetto.stages import check_inheritance

__all__ = ["find_recipe", "load_recipe"]

FILE_ONLY = ("extends", "profiles")
"""Keys that layering has used up."""


def load_recipe(
    path: Path,
    registry: Registry,
    overrides: Iterable[str] = (),
    profile: str = "auto",
    hardware: Accelerator | None = None,
) -> Recipe:
    """Read, merge and check a recipe. Imports no torch.

    Args:
        profile: a name in the recipe's `profiles`, or `auto` for the one that fits `hardware`.
        hardware: what this machine has; None: nothing.

    Raises:
        UserError: with the file and line where the offending key stands, or the override that set it.
    """
    file, overrides = read_recipe(path, registry), list(overrides)
    chosen, reason = _choose_profile(file.profile_names, profile, hardware, path)
    values = layers.overlay(file.layered(chosen), layers.parse_overrides(overrides))
    values.setdefault("name", path.stem)
    try:
        _place_image(values, file, chosen, overrides)
        names = Names(registry, file, chosen, layers.parse_overrides(overrides))
        return _Reader(registry, names).recipe(layers.resolve(values), chosen, reason)
    except UserError as error:
        raise type(error)(f"{_place(error, file, chosen, overrides)}: {error}") from error


def _place_image(values: dict[str, Any], file: RecipeFile, profile: str, overrides: Iterable[str]) -> None:
    """Make the path of the photo absolute, before `${image}` is followed."""
    image = values.get("image", "")
    if not isinstance(image, str) or image == REQUIRED:
        raise ConfigError("image is missing. Give a photo of what to make: image=photo.png.")
    if image:
        found = file.find("image", profile, "")
        given = any(item.partition("=")[0] == "image" for item in overrides)
        folder = found[0].parent if found and not given else Path()
        values["image"] = str((folder / Path(image).expanduser()).absolute())


def _place(error: UserError, file: RecipeFile, profile: str, overrides: Iterable[str]) -> str:
    """Where the value that an error is about was given."""
    key = first_key(error)
    for item in overrides:
        name = item.partition("=")[0]
        full = f"stages.{error.stage}.{key}"
        if any(place == name or place.startswith((f"{name}.", f"{name}[")) for place in (key, full)):
            return "command line"
    found = file.find(key, profile, error.stage)
    return f"{found[0]}:{found[1]}" if found else str(file.path)


def _choose_profile(profiles: list[str], profile: str, hardware: Accelerator | None, path: Path) -> tuple[str, str]:
    if profile != "auto":
        if profile not in profiles:
            known = ", ".join(profiles) or "none"
            hint = did_you_mean(profile, profiles)
            raise ConfigError(f"{path} has no profile {profile!r}.{hint} Profiles: {known}.")
        return profile, "chosen with --profile"
    if not profiles:
        return "none", "the recipe has no profiles"
    kind = hardware.kind if hardware else "cpu"
    reason = hardware.reason if hardware else "no GPU was looked for"
    if kind in profiles:
        return kind, reason
    if "cpu" in profiles:
        return "cpu", f"{reason}; the recipe has no {kind} profile"
    raise ConfigError(f"{path} has no profile for {kind}. Choose one with --profile: {', '.join(profiles)}.")


@dataclass(frozen=True)
class _Reader:
    """Turns plain values into records; holds nothing but the registry and what names mean."""

    registry: Registry
    names: Names

    def recipe(self, values: Mapping[str, Any], profile: str, reason: str) -> Recipe:
        check_requirements(values.get("plugins", []), self.registry)
        self.names.take(values.get("provided_by"))
        _check_keys("", values, [key for key in TOP if key not in FILE_ONLY])
        image = values.get("image", "")
        prompt = values.get("prompt", "" if image else REQUIRED)
        if not isinstance(prompt, str) or prompt.strip() in ((REQUIRED,) if image else ("", REQUIRED)):
            raise ConfigError('prompt is missing. Say what to make: prompt="a hamburger".')
        stages = values.get("stages") or {"main": {}}
        if not isinstance(stages, Mapping):
            raise ConfigError(f"stages: expected a mapping from names to stages, got {stages!r}.")
        return Recipe(
            name=convert(str, values["name"], "name"),
            summary=convert(str, values.get("summary", ""), "summary"),
            prompt=prompt.strip(),
            negative_prompt=convert(str, values.get("negative_prompt", ""), "negative_prompt"),
            seed=convert(int, values.get("seed", 0), "seed"),
            device=convert(Device, values.get("device", "auto"), "device"),
            output=convert(str, values.get("output", "outputs"), "output"),
            profile=profile,
            profile_reason=reason,
            stages=self._stages(stages, values),
            exports=tuple(
                (name, self.component("exporter", item or {}, f"export.{name}", default=name))
                for name, item in values.get("export", {}).items()
            ),
            values=values,
            image=image,
            stand_ins=convert(tuple[str, ...], values.get("stand_ins") or [], "stand_ins"),
        )

    def _stages(self, stages: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[Stage, ...]:
        made: list[Stage] = []
        for name, stage in stages.items():
            if stage is None:
                continue
            self.names.stage = name
            try:
                made.append(self.stage(name, stage, values))
                check_inheritance(made[-1], made[-2] if len(made) > 1 else None)
            except UserError as error:
                error.stage = name
                raise
        return tuple(made)

    def stage(self, name: str, stage: object, values: Mapping[str, Any]) -> Stage:
        if not isinstance(stage, Mapping):
            raise ConfigError(f"stages.{name}: expected {', '.join(STAGE)}, got {stage!r}.")
        _check_keys(f"stages.{name}", stage, STAGE)
        system = layers.overlay(values.get("system", {}), stage.get("system") or {})
        _check_keys("system", system, SYSTEM)
        parts = {
            key: self.component(key.replace("_", "-"), system.get(key), f"system.{key}")
            for key in ("geometry", "material", "background", "renderer", "prompt_processor")
        }
        tasks = system.get("tasks", {})
        if not isinstance(tasks, Mapping) or not tasks:
            raise ConfigError("system.tasks: at least one task is needed, with views, guidance and losses.")
        inherit = convert(tuple[str, ...], stage.get("inherit") or [], f"stages.{name}.inherit")
        for part in inherit:
            if part not in INHERITABLE:
                hint = did_you_mean(part, INHERITABLE)
                raise ConfigError(f"stages.{name}.inherit: {part!r} is none of {', '.join(INHERITABLE)}.{hint}")
        trainer = layers.overlay(values.get("trainer", {}), stage.get("trainer") or {})
        result = Stage(
            name=name,
            tasks=tuple(self.task(key, task) for key, task in tasks.items()),
            optimizer=bind(OptimizerConfig, system.get("optimizer", {}), "system.optimizer"),
            trainer=bind(TrainerConfig, trainer, "trainer"),
            inherit=inherit,
            **parts,
        )
        _check_needs(result)
        return result

    def task(self, name: str, values: object) -> Task:
        where = f"system.tasks.{name}"
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}: expected {', '.join(TASK)}, got {values!r}.")
        _check_keys(where, values, TASK)
        guidance = (
            self.component("guidance", values["guidance"], f"{where}.guidance") if values.get("guidance") else None
        )
        losses = values.get("losses", {})
        if not isinstance(losses, Mapping) or not losses:
            raise ConfigError(f"{where}.losses: at least one weighted loss is needed, e.g. {{sds: 1.0}}.")
        return Task(
            name=name,
            views=self.component("view-source", values.get("views"), f"{where}.views"),
            guidance=guidance,
            terms=tuple(self.term(key, value, f"{where}.losses.{key}", guidance) for key, value in losses.items()),
            times=bind(TaskTimes, {k: values[k] for k in ("every", "start_step", "until_step") if k in values}, where),
        )

    def term(self, name: str, value: object, where: str, guidance: Component | None) -> LossTerm:
        config: Mapping[str, Any] = {}
        if isinstance(value, Mapping) and not set(value) <= set(SCHEDULE_FIELDS):
            config = {k: v for k, v in value.items() if k != "weight"}
            value = value.get("weight", 1.0)
        weight = convert(Schedule, value, where)
        if guidance and name in guidance.entry.spec.provides:
            return LossTerm(name, weight, None)
        try:
            component = self.component("loss", config, where, default=name)
        except PluginError as error:
            made = sorted(guidance.entry.spec.provides) if guidance else []
            note = f" The guidance makes: {', '.join(made)}." if made else " The task has no guidance."
            raise PluginError(f"{error}{note}") from error
        return LossTerm(name, weight, component)

    def component(self, kind: str, values: object, where: str, default: str | None = None) -> Component:
        if values is None:
            known = ", ".join(self.registry.names(kind))
            raise ConfigError(f"{where} is missing. Give it a type: {known}.")
        if isinstance(values, str):
            values = {"type": values}
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}: expected {{type: NAME, ...}}, got {values!r}.")
        name = values.get("type", default)
        if not isinstance(name, str):
            raise ConfigError(f"{where}.type is missing. Known: {', '.join(self.registry.names(kind))}.")
        place = f"{where}.type" if "type" in values else where
        entry = self.names.find(kind, name, place)
        schema = self.registry.config_type(kind, f"{entry.dist}/{entry.spec.name}", place)
        given = {key: value for key, value in values.items() if key != "type"}
        return Component(entry, self.registry.configured(entry, lambda: bind(schema, given, where), where), where)


def _check_keys(where: str, values: Mapping[str, Any], known: Collection[str]) -> None:
    for key in values:
        if key not in known:
            path = f"{where}.{key}" if where else str(key)
            raise ConfigError(f"{path} is not known.{did_you_mean(str(key), known)} Known: {', '.join(known)}.")


def _check_needs(stage: Stage) -> None:
    """Every component's `needs` must be provided by the others."""
    specs: list[ComponentSpec] = [component.entry.spec for component in stage.components]
    provided = frozenset().union(*(spec.provides for spec in specs))
    for component in stage.components:
        lacking = sorted(component.entry.spec.needs - provided)
        if lacking:
            raise ConfigError(
                f"{component.where}: {component.kind} {component.name!r} needs {', '.join(lacking)}, which no "
                f"component of this system provides. The geometry {stage.geometry.name!r} provides: "
                f"{', '.join(sorted(stage.geometry.entry.spec.provides))}."
            )
