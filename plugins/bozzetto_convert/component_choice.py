"""Chooses components that correspond to threestudio's, among those the registry has and that are compatible."""

from __future__ import annotations

import functools
import itertools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

from bozzetto.config.binding import convert
from bozzetto.errors import ConfigError, PluginError
from bozzetto.math.schedules import Schedule
from bozzetto.registry.discovery import Registry
from bozzetto.spec import Entry
from bozzetto_convert.rules import UNSET, Note, Part, Read, Slot
from bozzetto_convert.run_parts import SLOTS, bare, part_for
from bozzetto_convert.score_parts import ADAPTER, SCORE, essential
from bozzetto_convert.threestudio_recipe import Source

BUILT_IN = "bozzetto"
"""Preferred distribution where several provide a component of the same name."""


@dataclass(frozen=True)
class Chosen:
    """Component chosen for a slot."""

    slot: Slot
    part: Part | None
    """Rule of the threestudio type; None for a type of an extension."""
    entry: Entry
    schema: type
    real: bool
    """False if the component is only a substitute without the same behaviour."""

    def field(self, dotted: str) -> tuple[Any, Any] | None:
        """Return type and default of a field such as `levels` or `features.levels`; None if it does not exist."""
        return field_of(self.schema, dotted)


@functools.cache
def _hints(schema: type) -> dict[str, Any]:
    return typing.get_type_hints(schema)


def field_of(schema: type, dotted: str) -> tuple[Any, Any] | None:
    """Return type and default of a dataclass field; the default is `UNSET` if there is none."""
    name, _, rest = dotted.partition(".")
    item = next((item for item in fields(schema) if item.name == name), None)
    if item is None:
        return None
    hint = _hints(schema)[name]
    if rest:
        nested = isinstance(hint, type) and is_dataclass(hint) and hint is not Schedule
        return field_of(hint, rest) if nested else None
    default = item.default_factory() if item.default_factory is not MISSING else item.default
    return hint, UNSET if default is MISSING else default


def choose(source: Source, registry: Registry, read: Read) -> tuple[dict[str, Chosen], list[Note]]:
    """Choose a component for every required or given slot, and return a note for each type without equivalent.

    Raises:
        ConfigError: not even a substitute is installed.
    """
    found: dict[str, list[Chosen]] = {
        slot.name: list(_candidates(slot, source, registry, read)) for slot in SLOTS if _wanted(slot, source, read)
    }
    for slot in SLOTS:
        if slot.stand_in and not found.get(slot.name):
            raise ConfigError(f"No {slot.kind} is installed, not even {slot.stand_in!r}. Run: bozzetto plugins list")
    chosen = dict(zip(("geometry", "renderer"), _pair(found["geometry"], found["renderer"]), strict=True))
    for name, candidates in found.items():
        fitting = (item for item in candidates if _fits(item, chosen, read))
        if name not in chosen and (best := next(fitting, None)):
            chosen[name] = best
    if essential(read) and "score" not in chosen:
        chosen["guidance"] = replace(chosen["guidance"], real=False)
    notes = [note for slot in SLOTS if (note := _missing(slot, source, chosen.get(slot.name), read, registry))]
    return chosen, notes


def _wanted(slot: Slot, source: Source, read: Read) -> bool:
    if slot.name == "score":
        part = part_for(slot.name, _type(slot, source))
        return bool(part and names_wanted(part, "", read))
    if slot.name == "posed":
        return source.get(slot.type_key) not in (UNSET, None, "")
    return slot.name != "reference" or part_for(slot.name, str(source.get(slot.type_key))) is not None


def _type(slot: Slot, source: Source) -> str:
    name = source.get(slot.type_key) if slot.type_key else UNSET
    defaults = {"mesh": "mesh-exporter", "turntable": "turntable"}
    return defaults.get(slot.name, "") if name in (UNSET, None, "") else str(name)


def names_wanted(part: Part | None, type_name: str, read: Read) -> tuple[str, ...]:
    """Return the component names to look for; a type of an extension is looked up under its own name."""
    if part is None:
        return tuple(dict.fromkeys((type_name, bare(type_name)))) if type_name else ()
    return part.choose(read) if part.choose else part.ours


def _candidates(slot: Slot, source: Source, registry: Registry, read: Read) -> Iterator[Chosen]:
    part = part_for(slot.name, _type(slot, source))
    for name in names_wanted(part, _type(slot, source), read):
        yield from _usable(slot, part, registry, name, True)
    for name in (*(part.near if part else ()), *((slot.stand_in,) if slot.stand_in else ())):
        yield from _usable(slot, part, registry, name, False)


def _usable(slot: Slot, part: Part | None, registry: Registry, name: str, real: bool) -> Iterator[Chosen]:
    try:
        entry = registry.find(slot.kind, name, prefer=(BUILT_IN,))
        yield Chosen(slot, part, entry, registry.config_type(slot.kind, f"{entry.dist}/{entry.spec.name}"), real)
    except PluginError:
        return


def _pair(geometries: list[Chosen], renderers: list[Chosen]) -> tuple[Chosen, Chosen]:
    """Return the best compatible pair of geometry and renderer."""
    pairs = itertools.product(enumerate(geometries), enumerate(renderers))
    ranked = sorted(pairs, key=lambda pair: (-pair[0][1].real - pair[1][1].real, pair[0][0] + pair[1][0]))
    for (_, geometry), (_, renderer) in ranked:
        if renderer.entry.spec.needs <= geometry.entry.spec.provides | renderer.entry.spec.provides:
            return geometry, renderer
    raise ConfigError("No installed renderer supports an installed geometry.")


def _fits(item: Chosen, chosen: Mapping[str, Chosen], read: Read) -> bool:
    if item.slot.name == "score":
        guidance = chosen.get("guidance")
        if guidance is None or not guidance.real or not hasattr(guidance.schema, "prior_branches"):
            return False
        adapts = getattr(guidance.schema, "has_adapter", False)
        return all(_takes(item.schema, *wanted) and (adapts or ADAPTER not in wanted) for wanted in essential(read))
    provided = frozenset().union(item.entry.spec.provides, *(other.entry.spec.provides for other in chosen.values()))
    return item.slot.kind == "exporter" or item.entry.spec.needs <= provided


def _takes(schema: type, dotted: str, value: Any) -> bool:
    """Return whether a config has a field that accepts a value."""
    try:
        found = field_of(schema, dotted)
        return found is not None and convert(found[0], value, dotted) == value
    except ConfigError:
        return False


def _missing(slot: Slot, source: Source, chosen: Chosen | None, read: Read, registry: Registry) -> Note | None:
    """Return the note that a slot has no equivalent; None if it has one."""
    type_name = _type(slot, source)
    part = part_for(slot.name, type_name)
    if (
        (chosen and chosen.real)
        or not _wanted(slot, source, read)
        or slot.name in ("turntable", "score")
        or type_name == "dummy-exporter"
    ):
        return None
    wanted = names_wanted(part, type_name, read)
    names = " or ".join(map(repr, wanted))
    if not type_name:
        why = "it is not given"
    elif slot.name == "guidance" and chosen and chosen.entry.spec.name in wanted and essential(read):
        needed = " and ".join(f"{name}: {value}" for name, value in essential(read))
        why = f"there is no score {' or '.join(map(repr, SCORE))} with {needed} here"
    elif names:
        here = set(wanted) & set(registry.names(slot.kind))
        why = f"the {slot.kind} {names} does not fit the rest" if here else f"there is no {slot.kind} {names} here"
    else:
        why = f"{type_name!r} has no equal here"
    after = f"; {chosen.entry.spec.name!r} stands in so that the recipe loads" if chosen else "; left out"
    return Note("lost", f"{slot.type_key} {type_name}".strip(), why + after)
