"""Documents the conversion of every threestudio type and key as Markdown, from the rules of the converter."""

from __future__ import annotations

from collections.abc import Iterator

from bozzetto.errors import PluginError
from bozzetto.registry.discovery import Registry
from bozzetto_convert.component_choice import field_of
from bozzetto_convert.losses import LOSSES
from bozzetto_convert.optimizer import MODULES, TYPES
from bozzetto_convert.rules import UNSET, Key, Part
from bozzetto_convert.run_parts import BLOCKS, PARTS, SLOTS
from bozzetto_convert.translate import PLAIN

NONE = "not translated"
HEAD = ("| key | its default | here | |", "|---|---|---|---|")
KINDS = {slot.name: slot.kind for slot in SLOTS}


def markdown(registry: Registry) -> str:
    """Return one section per kind of part: a table of types, then a table of keys for each type."""
    return "\n".join(_lines(registry)) + "\n"


def _lines(registry: Registry) -> Iterator[str]:
    titles = {"system": "system_type", **{slot.name: slot.type_key for slot in SLOTS if slot.type_key}}
    for slot, title in titles.items():
        parts = [part for part in PARTS if part.slot == slot]
        if slot == "reference" or not parts:
            continue
        parts += [part for part in PARTS if slot == "views" and part.slot == "reference"]
        yield from (f"### `{title}`", "", "| threestudio | here | |", "|---|---|---|")
        yield from (f"| `{part.type}` | {_ours(part, registry)} | {part.note} |" for part in parts)
        yield ""
        yield from _keys_by_type(parts, registry)
    for base, keys in BLOCKS:
        yield from (f"### {f'`{base}.*`' if base else 'The top of the file'}", "")
        yield from (*HEAD, *(_row(key, None, [], registry) for key in keys), "")
    yield from ("### `system.loss.*`", "", "| weight | loss here | |", "|---|---|---|")
    for loss in LOSSES:
        known = [name for name in loss.ours if _exists(registry, "loss", name) or _made_by_guidance(registry, name)]
        yield f"| `{loss.name}` | {f'`{known[0]}`' if known else NONE} | {loss.note} |"
    yield from ("", "### `system.optimizer`, `system.scheduler`", "")
    yield f"`name`: {', '.join(f'`{a}` is `{b}`' for a, b in TYPES.items())}; others are reported, `adam` stands in."
    yield "`args`: `lr`, `betas`, `eps`, `weight_decay`; what is left out has torch's defaults, written out."
    yield f"`params.X.lr`: `lr_of.X` for {', '.join(f'`{name}`' for name in MODULES)}."
    yield "`scheduler`: `ExponentialLR`, `LinearLR`, `CosineAnnealingLR` by step become a schedule of `lr`; of a"
    yield "warm-up and one of these (`SequentialLR`) the warm-up is left out and reported; others are reported."


def _ours(part: Part, registry: Registry) -> str:
    if part.slot == "system":
        return "tasks of a recipe"
    if here := [name for name in part.ours if _exists(registry, KINDS[part.slot], name)]:
        return " or ".join(f"`{name}`" for name in here)
    near = [name for name in part.near if _exists(registry, KINDS[part.slot], name)]
    return f"{NONE}; `{near[0]}` stands in" if near else NONE


def _exists(registry: Registry, kind: str, name: str) -> bool:
    try:
        return registry.find(kind, name) is not None
    except PluginError:
        return False


def _made_by_guidance(registry: Registry, name: str) -> bool:
    return any(
        name in entry.spec.provides
        for (kind, _), found in registry.entries.items()
        if kind == "guidance"
        for entry in found
    )


def _keys_by_type(parts: list[Part], registry: Registry) -> Iterator[str]:
    """Yield tables of keys; types with equal rows share a table, types without equivalent get a list."""
    owners: dict[str, list[str]] = {}
    for part in parts:
        schemas = _schemas(part, registry)
        if schemas or part.slot == "system":
            for key in part.keys:
                if not _told_elsewhere(key, part, schemas, registry):
                    owners.setdefault(_row(key, part, schemas, registry), []).append(part.type)
    tables: dict[tuple[str, ...], list[str]] = {}
    for row, types in owners.items():
        tables.setdefault(tuple(dict.fromkeys(types)), []).append(row)
    for sharing, rows in tables.items():
        yield from (f"Keys of {', '.join(f'`{name}`' for name in sharing)}:", "", *HEAD, *rows, "")
    for part in parts:
        if part.keys and part.slot != "system" and not _schemas(part, registry):
            keys = ", ".join(dict.fromkeys(f"`{key.name}`" for key in part.keys))
            yield from (f"Keys of `{part.type}`, which has no equal: {keys}.", "")


def _schemas(part: Part, registry: Registry) -> list[type]:
    """Return the config types of the equivalents of a part and of its substitutes."""
    kind = KINDS.get(part.slot, "")
    here = [name for name in dict.fromkeys((*part.ours, *part.near)) if _exists(registry, kind, name)]
    return [registry.config_type(kind, name) for name in here]


def _told_elsewhere(key: Key, part: Part, schemas: list[type], registry: Registry) -> bool:
    """Return whether another rule of the same key has a target while this one has none."""
    others = [other for other in part.keys if other.name == key.name and other is not key]
    return not _targets(key, part, schemas, registry) and any(_targets(o, part, schemas, registry) for o in others)


def _targets(key: Key, part: Part | None, schemas: list[type], registry: Registry) -> list[str]:
    return list(dict.fromkeys(filter(None, (_field(name, part, schemas, registry) for name in key.to))))


def _row(key: Key, part: Part | None, schemas: list[type], registry: Registry) -> str:
    default = "" if key.default is UNSET else f"`{key.default!r}`"
    if targets := _targets(key, part, schemas, registry):
        here = " or ".join(targets)
    else:
        here = "not needed" if key.idle else "fixed" if key.how and not key.to else NONE
    return f"| `{key.name}` | {default} | {here} | {key.note} |"


def _field(target: str, part: Part | None, schemas: list[type], registry: Registry) -> str:
    """Format `slot.field` as in a recipe; empty if no component here has such a field."""
    slot, _, dotted = target.partition(".")
    if slot == "top":
        return f"`{dotted}`"
    if slot in PLAIN:
        return f"`{target}`"
    if part is None or slot != part.slot:
        kind = KINDS[slot]
        schemas = [registry.config_type(kind, name) for name in registry.names(kind) if _exists(registry, kind, name)]
    return f"`{target}`" if any(field_of(schema, dotted) for schema in schemas) else ""
