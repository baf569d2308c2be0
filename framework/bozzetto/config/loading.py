"""Loads a checked `Recipe` from a YAML file, a profile and overrides."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from bozzetto.config import layers
from bozzetto.config.binding import REQUIRED, bind, convert
from bozzetto.config.component_names import Names
from bozzetto.config.file_names import check_names
from bozzetto.config.layers import value_at, with_value
from bozzetto.config.origins import Origins
from bozzetto.config.overrides import require_known_stages, shadowed
from bozzetto.config.profiles import choose_profile
from bozzetto.config.recipe_file import find_recipe, read_recipe
from bozzetto.config.requirements import check_requirements
from bozzetto.config.scored_tasks import check_score
from bozzetto.config.sections import section
from bozzetto.config.stage_checks import check_exporters, check_stage
from bozzetto.config.stages import check_inheritance
from bozzetto.errors import ConfigError, PluginError, UserError, did_you_mean, shown
from bozzetto.fields import FilePath, each_place, marked
from bozzetto.kinds import SYSTEM_KINDS
from bozzetto.machine.accelerators import Accelerator
from bozzetto.math.schedules import FIELDS as SCHEDULE_FIELDS
from bozzetto.recipe import (
    INHERITABLE,
    STAGE,
    SYSTEM,
    TASK,
    TOP,
    Component,
    LossTerm,
    OptimizerConfig,
    Recipe,
    Seed,
    Stage,
    Task,
    TaskTimes,
    TrainerConfig,
    Weight,
    device_of,
)
from bozzetto.registry.discovery import Registry

__all__ = ["find_recipe", "load_recipe"]

FILE_ONLY = ("extends", "profiles")
"""Keys that are consumed by layering."""
MAKERS = ("guidance", "score")


def load_recipe(
    path: Path, registry: Registry, overrides: Iterable[str] = (), profile: str = "auto",
    hardware: Accelerator | None = None,
) -> Recipe:  # fmt: skip
    """Read, merge and check a recipe. Imports no torch.

    Args:
        profile: a name in the recipe's `profiles`, or `auto`: see `choose_profile`.
        hardware: accelerator of this machine; None: none.

    Raises:
        UserError: with the file and line of the offending key, or the override that set it.
    """
    file, overrides = read_recipe(path, registry), list(overrides)
    chosen, reason = choose_profile(file.profile_names, profile, hardware, path)
    origins = Origins(file, chosen, overrides)
    below, given = file.layered(chosen), layers.parse_overrides(overrides)
    try:
        require_known_stages(below, given)
        values = layers.overlay(below, given)
        values.setdefault("name", path.stem)
        _place_image(values, origins)
        names = Names(registry, file, chosen, given)
        return _Reader(registry, origins, names).recipe(layers.resolve(values), chosen, reason)
    except UserError as error:
        raise type(error)(f"{origins.place_of(error)}: {error}") from error


def _place_image(values: dict[str, Any], origins: Origins) -> None:
    """Make the path of the photo absolute, before `${image}` is resolved."""
    image = values.get("image", "")
    if isinstance(image, str) and image not in ("", REQUIRED) and not origins.overridden("image"):
        image = layers.resolve_one(values, "image")
    if not isinstance(image, str) or image == REQUIRED:
        raise ConfigError("image is missing. Give a photo of what to make: image=photo.png.")
    if image:
        values["image"] = origins.path(image, "image")


@dataclass(frozen=True)
class _Reader:
    """Converts plain values to records."""

    registry: Registry
    origins: Origins
    names: Names
    paths: dict[tuple[str, str], str] = field(default_factory=dict)
    """Absolute path by `(stage, dotted key)` of every field that names a file."""
    stage_name: str = ""
    """Name of the stage being read."""

    def recipe(self, values: Mapping[str, Any], profile: str, reason: str) -> Recipe:
        check_requirements(values.get("plugins", []), self.registry)
        self.names.take(values.get("provided_by"))
        _check_keys("", values, [key for key in TOP if key not in FILE_ONLY])
        image = values.get("image", "")
        prompt = convert(str, values.get("prompt", "" if image else REQUIRED), "prompt")
        if prompt.strip() in ((REQUIRED,) if image else ("", REQUIRED)):
            raise ConfigError('prompt is missing. Say what to make: prompt="a hamburger".')
        stages = section(values, "stages", "stages by name, e.g. {coarse: {}, refine: {}}") or {"main": {}}
        exporters = section(values, "export", "exporters by name, e.g. {mesh: {type: mesh}}")
        check_names("stages", stages)
        check_names("export", exporters)
        output = self.origins.path(convert(str, values.get("output", "outputs"), "output"), "output")
        trained = self._stages(stages, values)
        exports = tuple(
            (key, self.component("exporter", item, f"export.{key}", default=key)) for key, item in exporters.items()
        )
        check_exporters([component for _, component in exports], trained[-1])
        return Recipe(
            name=convert(str, values["name"], "name"),
            summary=convert(str, values.get("summary", ""), "summary"),
            prompt=prompt.strip(),
            negative_prompt=convert(str, values.get("negative_prompt", ""), "negative_prompt"),
            seed=convert(Seed, values.get("seed", 0), "seed"),
            device=device_of(values.get("device", "auto")),
            output=output,
            profile=profile,
            profile_reason=reason,
            stages=trained,
            exports=exports,
            values=self._values(values, output),
            notices=shadowed(self.origins.overrides, values),
            image=image,
            stand_ins=convert(tuple[str, ...], values.get("stand_ins") or [], "stand_ins"),
            aliases=dict(self.names.aliases),
            report=convert(bool, values.get("report", True), "report"),
        )

    def _values(self, values: Mapping[str, Any], output: str) -> Mapping[str, Any]:
        """Return the plain values with absolute paths, so that a run folder does not depend on the working folder."""
        values = {**values, "output": output}
        for (stage, key), path in self.paths.items():
            own = f"stages.{stage}.{key}"
            values = with_value(values, own if value_at(values, own) is not None else key, path)
        return values

    def _stages(self, stages: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[Stage, ...]:
        made: list[Stage] = []
        for name, stage in stages.items():
            if stage is None:
                continue
            self.names.stage = name
            try:
                made.append(replace(self, stage_name=name).stage(name, stage, values))
                check_inheritance(made[-1], made[-2] if len(made) > 1 else None)
            except UserError as error:
                error.stage = name
                raise
        if not made:
            raise ConfigError("stages: every stage is null, and nothing is left to train. Leave one, or drop stages.")
        return tuple(made)

    def stage(self, name: str, stage: object, values: Mapping[str, Any]) -> Stage:
        if not isinstance(stage, Mapping):
            raise ConfigError(f"stages.{name}: expected {', '.join(STAGE)}; got {shown(stage)}.")
        _check_keys(f"stages.{name}", stage, STAGE)
        where, known = f"stages.{name}.", [item.name for item in fields(TrainerConfig)]
        system = layers.overlay(section(values, "system", SYSTEM), section(stage, "system", SYSTEM, where))
        _check_keys("system", system, SYSTEM)
        parts = {kind.key: self.component(kind.name, system.get(kind.key), kind.place) for kind in SYSTEM_KINDS}
        tasks = section(system, "tasks", "tasks by name, e.g. {random: {views: orbit, ...}}", "system.")
        if not tasks:
            raise ConfigError("system.tasks: at least one task is needed, with views, guidance and losses.")
        check_names("system.tasks", tasks)
        wanted = stage.get("inherit")
        inherit = convert(tuple[str, ...], () if wanted is None else wanted, f"{where}inherit")
        for part in inherit:
            if part not in INHERITABLE:
                hint = did_you_mean(part, INHERITABLE)
                raise ConfigError(f"stages.{name}.inherit: {part!r} is none of {', '.join(INHERITABLE)}.{hint}")
        trainer = layers.overlay(section(values, "trainer", known), section(stage, "trainer", known, where))
        result = Stage(
            name=name,
            tasks=tuple(self.task(key, task) for key, task in tasks.items()),
            optimizer=bind(OptimizerConfig, system.get("optimizer", {}), "system.optimizer"),
            trainer=bind(TrainerConfig, trainer, "trainer"),
            inherit=inherit,
            **parts,
        )
        check_stage(result)
        return result

    def task(self, name: str, values: object) -> Task:
        where = f"system.tasks.{name}"
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}: expected {', '.join(TASK)}; got {shown(values)}.")
        _check_keys(where, values, TASK)
        given = {kind: self.component(kind, values[kind], f"{where}.{kind}") for kind in MAKERS if kind in values}
        guidance, score = (given.get(kind) for kind in MAKERS)
        losses = section(values, "losses", "weights by name, e.g. {sds: 1.0}", f"{where}.")
        if not losses:
            raise ConfigError(f"{where}.losses: at least one weighted loss is needed, e.g. {{sds: 1.0}}.")
        maker = score or guidance
        terms = tuple(self.term(key, value, f"{where}.losses.{key}", maker) for key, value in losses.items())
        check_score(score, guidance, values.get("guidance"), terms, where)
        return Task(
            name=name,
            views=self.component("view-source", values.get("views"), f"{where}.views"),
            guidance=guidance,
            score=score,
            terms=terms,
            times=bind(TaskTimes, {k: values[k] for k in ("every", "start_step", "until_step") if k in values}, where),
        )

    def term(self, name: str, value: object, where: str, maker: Component | None) -> LossTerm:
        config: Mapping[str, Any] = {}
        if isinstance(value, Mapping) and not set(value) <= set(SCHEDULE_FIELDS):
            config = {k: v for k, v in value.items() if k != "weight"}
            value = value.get("weight", 1.0)
        weight = convert(Weight, value, where)
        if maker and name in maker.entry.spec.provides:
            return LossTerm(name, weight, None)
        try:
            component = self.component("loss", config, where, default=name)
        except PluginError as error:
            made = sorted(maker.entry.spec.provides) if maker else []
            note = f" The {maker.kind} makes: {', '.join(made)}." if maker and made else " The task has no guidance."
            raise PluginError(f"{error}{note}") from error
        return LossTerm(name, weight, component)

    def component(self, kind: str, values: object, where: str, default: str | None = None) -> Component:
        if values is None:
            known = ", ".join(self.registry.names(kind))
            raise ConfigError(f"{where} is missing. Give it a type: {known}.")
        if isinstance(values, str):
            values = {"type": values}
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}: expected {{type: NAME, ...}}, got {shown(values)}.")
        name = values.get("type", default)
        if not isinstance(name, str):
            raise ConfigError(f"{where}.type is missing. Known: {', '.join(self.registry.names(kind))}.")
        place = f"{where}.type" if "type" in values else where
        entry = self.names.find(kind, name, place)
        schema = self.registry.config_type(kind, f"{entry.dist}/{entry.spec.name}", place)
        given = {key: value for key, value in values.items() if key != "type"}
        placed = self._placed(schema, given, where, entry.dist)
        return Component(entry, self.registry.configured(entry, lambda: bind(schema, placed, where), where), where)

    def _placed(self, schema: type, values: Mapping[str, Any], where: str, dist: str) -> Mapping[str, Any]:
        """Return the values with absolute paths in fields that name files, and exact names in those that name models.

        `dist` is the distribution of the component.
        """
        for name, marker in each_place(marked(schema, FilePath), partial(value_at, values)):
            text, place, path = value_at(values, name), f"{where}.{name}", None
            default = getattr(schema, name, None) if marker.or_name and name not in values else None
            if isinstance(default, str):
                path = self.names.find_model(default, place, default_of=dist)
                path = None if path == default else path
            elif isinstance(text, str) and text and text != REQUIRED:
                path = self.names.find_model(text, place) if marker.or_name else None
                path = path or self.origins.path(text, place, self.stage_name, marker.or_name)
            if path is not None:
                self.paths[self.stage_name, place] = path
                values = with_value(values, name, path)
        return values


def _check_keys(where: str, values: Mapping[str, Any], known: Collection[str]) -> None:
    for key in values:
        if key not in known:
            path = f"{where}.{key}" if where else str(key)
            raise ConfigError(f"{path} is not known.{did_you_mean(str(key), known)} Known: {', '.join(known)}.")
