"""Converts a threestudio recipe: applies the rule of every key and notes every change of meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bozzetto.config.binding import REQUIRED, bind, convert
from bozzetto.config.stages import CONVERSION
from bozzetto.errors import ConfigError
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import OptimizerConfig, TrainerConfig
from bozzetto.registry.discovery import Registry
from bozzetto.weights.catalogue import Catalogue
from bozzetto_convert.component_choice import BUILT_IN, Chosen, choose, field_of
from bozzetto_convert.draft import Draft, Line, joined, nested, shown
from bozzetto_convert.losses import GUIDED, Weight, made_by, stilled, translate_losses
from bozzetto_convert.optimizer import declared, translate_optimizer
from bozzetto_convert.profiles import profile_lines
from bozzetto_convert.rules import UNSET, Changed, Key, Lost, Note, Part, Severity
from bozzetto_convert.run_parts import BLOCKS, SLOTS, part_for
from bozzetto_convert.threestudio_recipe import Source
from bozzetto_convert.values import model as weights
from bozzetto_convert.values import schedule
from bozzetto_convert.variational_parts import ADAPTER_RATE

TOP = dict.fromkeys(("name", "summary", "prompt", "negative_prompt", "image", "output"), str) | {"seed": int}
PLAIN = {"trainer": (TrainerConfig, "trainer"), "optimizer": (OptimizerConfig, "system.optimizer")}
"""Schemas and paths of the parts that are not components."""
HANDLED = ("system.loss.", "system.optimizer.", "system.scheduler.")
"""Prefixes of keys that are converted as a block."""
TASKS = "system.tasks"


def translate(source: Source, registry: Registry) -> Draft:
    """Convert a recipe to a draft that our loader accepts.

    Raises:
        ConfigError: a part requires a value that the recipe does not have.
    """
    return _Translator(source, registry).run()


class _Translator:
    """State of one conversion."""

    def __init__(self, source: Source, registry: Registry) -> None:
        self.source, self.registry, self.catalogue = source, registry, Catalogue.of(registry)
        system = source.get("system_type")
        name = "" if system is UNSET else str(system)
        self.draft = Draft(f"{source.name} (threestudio, {name or 'no system_type'})", name)
        self.defaults: dict[str, Any] = {}
        self.seen: set[str] = {slot.type_key for slot in SLOTS} | {"system_type"}
        self.unplaced: list[tuple[str, Note]] = []
        """Keys for which the chosen component has no field; another rule may still place them."""
        self.placed: set[str] = set()
        self.blocks = list(self._blocks())
        for base, keys, _ in self.blocks:
            self.defaults |= {joined(base, key.name): self._default(base, key) for key in keys}

    def _blocks(self) -> Iterator[tuple[str, tuple[Key, ...], str]]:
        """Yield the base path of keys, their rules, and the slot they belong to."""
        yield from ((base, keys, "") for base, keys in BLOCKS)
        system = part_for("system", self.draft.system) or part_for("system", "dreamfusion-system")
        yield "system", system.keys if system else (), ""
        for slot in SLOTS:
            part = part_for(slot.name, str(self.source.get(slot.type_key)))
            default = part_for("mesh", "mesh-exporter") if slot.name == "mesh" and part is None else part
            yield slot.base, default.keys if default else (), slot.name

    def _default(self, base: str, key: Key) -> Any:
        """Return threestudio's default; a mapping in the recipe replaces all of the class's defaults."""
        around = self.source.get(joined(base, key.name).rpartition(".")[0])
        return key.default_inside if key.default_inside is not UNSET and isinstance(around, Mapping) else key.default

    def read(self, path: str) -> Any:
        value = self.source.get(path)
        value = self.defaults.get(path) if value is UNSET else value
        return None if value is UNSET else value

    def run(self) -> Draft:
        self.chosen, notes = choose(self.source, self.registry, self.read)
        self.draft.notes += notes
        self.draft.converts = CONVERSION in self.chosen["geometry"].entry.spec.provides
        named = {slot.type_key for slot in SLOTS if slot.name in self.chosen and not self.chosen[slot.name].real}
        self.draft.stand_ins += [str(note) for note in notes if note.key.partition(" ")[0] in named]
        system = part_for("system", self.draft.system)
        if system and system.missing:
            self._note("lost", f"system_type {system.type}", system.missing)
            self.draft.stand_ins.append(str(self.draft.notes[-1]))
        if not system:
            why = "this system is not known; its keys are read as those of dreamfusion-system"
            self.draft.notes.append(Note("lost", f"system_type {self.draft.system or '(none)'}", why))
        for chosen in self.chosen.values():
            given = self.source.get(chosen.slot.type_key) if chosen.slot.type_key else UNSET
            comment = "" if given is UNSET else f"{chosen.slot.type_key} {given}"
            stands_in = "" if chosen.real else "stands in for "
            self._put(f"{chosen.slot.where}.type", chosen.entry.spec.name, stands_in + comment)
            self._fixed(chosen)
        for base, keys, slot in self.blocks:
            for key in keys:
                self._follow(base, key, slot)
        self.draft.notes += [note for path, note in self.unplaced if path not in self.placed]
        self._optimizer()
        self._losses()
        self._leftovers()
        if "image" not in self.draft.lines:
            self.draft.lines.setdefault("prompt", Line(REQUIRED, "say what to make"))
        for chosen in self.chosen.values():
            self._bind(chosen.schema, chosen.slot.where)
        self._bind(TrainerConfig, "trainer")
        if "posed" in self.chosen:
            views = f"{TASKS}.random.views."
            seen = {path: line for path, line in self.draft.lines.items() if path.startswith(views)}
            for path, line in seen.items():
                self._put(path.replace(".random.", ".pose."), line.value, "the same views")
            model = self.draft.lines.get(f"{TASKS}.pose.guidance.model", Line("zero123-xl", "")).value
            why = f"it guides a task of its own, pose: Zero123 here, with the weights {model!r}"
            self._note("changed", "system.guidance_3d_type", why)
        self.draft.lines |= profile_lines(self.chosen, self.draft.lines)
        for kind, name in sorted({(item.entry.spec.kind, item.entry.spec.name) for item in self.chosen.values()}):
            if len(self.registry.entries[kind, name]) > 1:
                self._put(f"provided_by/{kind}/{name}", BUILT_IN, "several distributions provide it")
        for alias in sorted({str(line.value) for path, line in self.draft.lines.items() if path.endswith(".model")}):
            if len(self.registry.models.get(alias, ())) > 1:
                self._put(f"provided_by/model/{alias}", BUILT_IN, "several distributions provide it")
        return self.draft

    def _put(self, path: str, value: Any, comment: str) -> None:
        self.draft.lines[path] = Line(value, comment)

    def _fixed(self, chosen: Chosen) -> None:
        part: Part | None = chosen.part
        for target, value in part.fixed if part and chosen.real else ():
            found = self._target((target,))
            if found and found[2] != value:
                self._put(found[0], value, "fixed in threestudio")

    def _target(self, names: tuple[str, ...]) -> tuple[str, Any, Any] | None:
        """Return path, type and default of the first existing `slot.field`."""
        for name in names:
            slot, _, dotted = name.partition(".")
            if slot == "top":
                return dotted, TOP[dotted], UNSET
            chosen = self.chosen.get(slot)
            schema, where = (chosen.schema, chosen.slot.where) if chosen else PLAIN.get(slot, (None, ""))
            if schema and (found := field_of(schema, dotted)):
                return f"{where}.{dotted}", *found
        return None

    def _follow(self, base: str, key: Key, slot: str) -> None:
        path = joined(base, key.name)
        self.seen.add(path)
        value = self.source.get(path)
        given = value is not UNSET
        default = self._default(base, key)
        stands_in = slot in self.chosen and not self.chosen[slot].real
        if not given and (stands_in or not key.fill or default is UNSET or not key.to):
            return
        value = value if given else default
        if stands_in and key.specific:
            if value != default:
                self._note("lost", path, f"no meaning for {self.chosen[slot].entry.spec.name!r}, which stands in")
            return
        if key.idle or not (key.to or key.how):
            if given and value != default and (value or default is not UNSET):
                self._note("idle" if key.idle else "lost", path, key.note, value)
            return
        if path in self.source.unresolved:
            self._note("lost", path, f"it cannot be followed: {self.source.unresolved[path]}", value)
            return
        result = value if value == REQUIRED else self._unwrapped(self._applied(key, value), path, given)
        if result is UNSET:
            return
        target = self._target(key.to)
        if target is None:
            if given and value != default:
                self._no_field(path, key, slot, value)
            return
        changed = key.how is not None and given and isinstance(value, (int, float, list)) and result != value
        comment = f"{path} = {value!r}" + (f": {key.note}" if key.note else "") if changed else path
        self._set(target, result, path, given, comment)

    def _applied(self, key: Key, value: Any) -> Any:
        try:
            made = key.how(value, self.read) if key.how else value
            # An alias where there is one, so that mirrors are tried if the repository has been withdrawn.
            alias = self.catalogue.name_of_repository(made) if key.how is weights and isinstance(made, str) else ""
            return alias or made
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
            return Lost(f"{value!r} is no value that threestudio takes here")

    def _unwrapped(self, result: Any, path: str, given: bool) -> Any:
        """Unwrap a result; its note is kept only if the recipe gives the key itself."""
        if isinstance(result, Lost):
            if given:
                self._note("lost", path, result.why)
            return UNSET
        if isinstance(result, Changed):
            if given:
                self._note("changed", path, result.why)
            return self._unwrapped(result.value, path, given)
        return result

    def _set(self, target: tuple[str, Any, Any], value: Any, path: str, given: bool, comment: str) -> None:
        where, hint, default = target
        schedules = hint is Schedule or Schedule in getattr(hint, "__args__", ())
        if schedules and isinstance(value, list):
            value = self._unwrapped(schedule(value), path, given)
            if value is UNSET:
                return
        try:
            typed = value if value == REQUIRED else convert(hint, value, where)
        except ConfigError as error:
            if given:
                self._note("lost", path, str(error).removeprefix(f"{where}: "))
            return
        self.placed.add(path)
        if given or typed != default:
            self._put(where, value, comment if given else f"threestudio's default of {path}")

    def _no_field(self, path: str, key: Key, slot: str, value: Any) -> None:
        wanted = key.to[0].partition(".")[0]
        if path.startswith(HANDLED):
            return
        if wanted not in self.chosen:
            self._note("lost", path, "it belongs to a part that is left out", value)
            return
        name = self.chosen[wanted].entry.spec.name
        severity: Severity = "lost" if wanted == slot and self.chosen[wanted].real else "idle"
        why = f"{self.chosen[wanted].slot.kind} {name!r} has no such setting"
        self.unplaced.append((path, Note(severity, shown(path, value), why)))

    def _note(self, severity: Severity, path: str, why: str, value: Any = UNSET) -> None:
        self.draft.notes.append(Note(severity, shown(path, value), why))

    def _optimizer(self) -> None:
        system = self.source.get("system")
        background = self.chosen["background"].entry.spec.name
        for item in translate_optimizer(system, background, declared(self.chosen, self.draft.lines), self.read):
            if isinstance(item, Note):
                if item.key != ADAPTER_RATE or item.key not in self.placed:
                    self.draft.notes.append(item)
                continue
            name, value, key = item
            hint, default = field_of(OptimizerConfig, name.partition(".")[0]) or (None, UNSET)
            if name.startswith("lr_of."):
                self._put(f"system.optimizer.lr_of/{name.removeprefix('lr_of.')}", value, key)
            elif convert(hint, value, name) != default or key.startswith("system."):
                self._put(f"system.optimizer.{name}", value, key)

    def _losses(self) -> None:
        given = self.source.get("system.loss")
        weights = {} if given is UNSET else given
        terms: dict[str, Weight] = {}
        for item in translate_losses(weights, self.chosen, self.registry, self.read):
            if isinstance(item, Note):
                self.draft.notes.append(item)
            else:
                terms[f"{TASKS}.{item.task}.losses.{item.name}"] = item
        for task in GUIDED:
            own = made_by(self.chosen, task)
            if own and not any(term.task == task and term.name in own for term in terms.values()):
                key = stilled(weights, task, own)
                self._put(f"{TASKS}.{task}.losses.{min(own)}", 0.0 if key else 1.0, key or "what this guidance makes")
        if "reference" in self.chosen and not any(term.task == "reference" for term in terms.values()):
            self._put(f"{TASKS}.reference.losses.reference-color", 0.0, "a task has at least one loss")
        for path, term in terms.items():
            self._put(path, term.value, term.key)
            if len(self.registry.entries.get(("loss", term.name), ())) > 1:
                self._put(f"provided_by/loss/{term.name}", BUILT_IN, "several distributions provide it")

    def _leftovers(self) -> None:
        """Convert keys without a rule: they are copied if a field of that name exists here, as for an extension."""
        for path in self.source.leaves():
            if path.startswith(HANDLED) or any(path == seen or path.startswith(f"{seen}.") for seen in self.seen):
                continue
            value = self.source.get(path)
            slot = next((s for s in SLOTS if s.base and path.startswith(f"{s.base}.") and s.name in self.chosen), None)
            name = path.removeprefix(f"{slot.base}.") if slot else ""
            target = self._target((f"{slot.name}.{name}",)) if slot else None
            if target:
                self._set(target, value, path, True, path)
            elif value not in (None, {}, []):
                self._note("lost", path, "the key is unknown, and no field here has its name", value)

    def _bind(self, schema: type, where: str) -> None:
        """Validate with our own schema; rejected values are removed and noted."""
        while True:
            try:
                bind(schema, nested(self.draft.lines, where), where)
                return
            except ConfigError as error:
                guilty = str(error).split(" ", 1)[0].rstrip(":.,")
                line = self.draft.lines.pop(guilty, None)
                if line is None:
                    raise ConfigError(f"{self.source.name} cannot be converted: {error}") from error
                self._note("lost", line.comment, str(error).removeprefix(f"{guilty}: "))
