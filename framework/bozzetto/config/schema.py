"""JSON schema of recipes for editors, made from the dataclasses that check them, including the fields of plugins.

Draft 7, which the YAML support of editors implements. A recipe may be a change of another (`extends`, `profiles`,
`stages`), so nothing is required, a component's fields depend on its `type` where it has one, and null, which removes a
key, is allowed everywhere. Imports no torch.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from bozzetto.config.binding import TYPE, field_texts, plain
from bozzetto.errors import PluginError
from bozzetto.fields import Range, hints_of
from bozzetto.kinds import KINDS, SYSTEM_KINDS
from bozzetto.math.schedules import Curve, Schedule
from bozzetto.recipe import (
    DEVICE_PATTERN,
    INHERITABLE,
    STAGE,
    SYSTEM,
    TASK,
    TOP,
    OptimizerConfig,
    Seed,
    TaskTimes,
    TrainerConfig,
)
from bozzetto.registry.discovery import Registry

Schema = dict[str, Any]

TEXTS = ("name", "summary", "extends", "prompt", "negative_prompt", "image", "output")
"""Keys of a recipe with string values."""
ANYWHERE: Schema = {
    "description": "null: the default; ${...}: another value of the recipe; ???: must be given",
    "anyOf": [{"type": "null"}, {"type": "string", "pattern": r"^(\$\{.*\}|\?\?\?)$"}],
}
SCHEDULE: Schema = {
    "description": "A number, or one that changes with the step.",
    "anyOf": [
        {"type": "number"},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["from", "to", "until_step"],
            "properties": {
                "from": {"type": "number", "description": "Value up to start_step."},
                "to": {"type": "number", "description": "Value from until_step on."},
                "start_step": {"type": "integer", "minimum": 0, "description": "Last step at the first value."},
                "until_step": {"type": "integer", "minimum": 0, "description": "First step at the last value."},
                "curve": {"enum": list(get_args(Curve)), "description": "How it goes from one to the other."},
            },
        },
    ],
}


def recipe_schema(registry: Registry) -> Schema:
    """Return the schema of a recipe with the components available here."""
    definitions: Schema = {"anywhere": ANYWHERE, "schedule": SCHEDULE}
    for kind in KINDS:
        definitions |= _kind(registry, kind)
    definitions |= {
        "system": _object(SYSTEM, {kind.key: _ref(kind.name) for kind in SYSTEM_KINDS} | {
            "tasks": {"type": "object", "additionalProperties": _maybe(_ref("task"))},
            "optimizer": _of_dataclass(OptimizerConfig),
        }),
        "task": _object(TASK, {
            "views": _ref("view-source"),
            "guidance": _ref("guidance"),
            "score": _ref("score"),
            "losses": {
                "type": "object",
                "properties": {name: _maybe(_ref(f"loss.{name}")) for name in _losses(registry)},
                "additionalProperties": _maybe(_ref("any-loss")),
            },
        } | {item.name: _of_type(hints_of(TaskTimes)[item.name]) for item in fields(TaskTimes)}),
        "any-loss": {"anyOf": [_ref("schedule"), {"type": "object", "properties": {"weight": _ref("schedule")}}]},
        "trainer": _of_dataclass(TrainerConfig),
        "stage": _object(STAGE, {
            "system": _ref("system"),
            "trainer": _ref("trainer"),
            "inherit": {"type": "array", "items": {"enum": list(INHERITABLE)}},
        }),
        "recipe": _object(TOP, _top(registry)),
    }  # fmt: skip
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A recipe of Bozzetto",
        "definitions": definitions,
        **_ref("recipe"),
    }


def _top(registry: Registry) -> Schema:
    exporters = {name: _maybe(_ref(f"exporter.{name}")) for name in registry.names("exporter")}
    return {
        "plugins": {"type": "array", "items": {"type": "string"}},
        "stand_ins": {"type": "array", "items": {"type": "string"}},
        "provided_by": {"type": "object", "additionalProperties": {"type": "string"}},
        "seed": _of_type(Seed),
        "report": {"type": "boolean"},
        "device": {"type": "string", "pattern": f"^({DEVICE_PATTERN})$"},
        "system": _ref("system"),
        "trainer": _ref("trainer"),
        "export": {"type": "object", "properties": exporters, "additionalProperties": _maybe(_ref("exporter"))},
        "stages": {"type": "object", "additionalProperties": _maybe(_ref("stage"))},
        "profiles": {"type": "object", "additionalProperties": _maybe(_ref("recipe"))},
    } | {key: {"type": "string"} for key in TEXTS}


def _kind(registry: Registry, kind: str) -> Schema:
    """Return the definitions of a kind: one per component, and one that selects by `type`."""
    made: Schema = {}
    names: list[str] = []
    choices: list[Schema] = []
    every: dict[str, list[Schema]] = {}
    for (_, name), entries in sorted(item for item in registry.entries.items() if item[0][0] == kind):
        for entry in entries:
            try:
                schema = registry.config_type(kind, f"{entry.dist}/{name}")
            except PluginError:
                continue  # unusable components are not offered
            written = [f"{entry.dist}/{name}", *([name] if len(entries) == 1 else [])]
            own = _of_dataclass(schema)["properties"]
            own_type = {"description": entry.spec.summary, "enum": written[::-1]}
            extra = {"weight": _ref("schedule")} if kind == "loss" else {}
            one = {"type": "object", "additionalProperties": False, "properties": {"type": own_type, **extra, **own}}
            one["description"] = entry.spec.summary
            key = f"{kind}.{written[-1]}"
            made[key] = {"anyOf": [_ref("schedule"), one]} if kind == "loss" else one
            names.append(written[-1])
            choices.append(
                {
                    "if": {"type": "object", "required": ["type"], "properties": {"type": {"enum": written}}},
                    "then": one if kind == "loss" else _ref(key),
                }
            )
            for field, value in own.items():
                every.setdefault(field, []).append(value)
    either = {field: values[0] if len(values) == 1 else {"anyOf": values} for field, values in every.items()}
    named = {"type": "string", "anyOf": [{"enum": names}, {"pattern": "^[^/]+/[^/]+$"}]}
    block = {"type": "object", "properties": {**either, "type": named}, "allOf": choices}
    return made | {kind: {"anyOf": [{"enum": names}, block]}}


def _losses(registry: Registry) -> list[str]:
    return [name for name in registry.names("loss") if len(registry.entries["loss", name]) == 1]


def _object(texts: Mapping[str, str], properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of a mapping with known keys and their descriptions."""
    described = {key: {**_maybe(properties[key]), "description": text} for key, text in texts.items()}
    return {"type": "object", "additionalProperties": False, "properties": described}


def _of_dataclass(schema: type) -> Schema:
    texts, hints = field_texts(schema), hints_of(schema)
    properties: Schema = {}
    for item in fields(schema):
        described = {**_maybe(_of_type(hints[item.name])), "description": texts.get(item.name, "")}
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        if default is not MISSING:
            described["default"] = plain(default)
        properties[item.name] = described
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _of_type(hint: Any) -> Schema:
    """Return the schema of a field's type, for the types supported by `bozzetto.config.binding.bind`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [_bounds(item) for item in arguments[1:] if isinstance(item, Range)]
        return _of_type(arguments[0]) | (bounds[0] if bounds and arguments[0] is not Schedule else {})
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of_type(argument) for argument in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if hint is Schedule:
        return _ref("schedule")
    if isinstance(hint, type) and is_dataclass(hint):
        one = _of_dataclass(hint)
        return {"anyOf": [one, one["properties"][TYPE]]} if TYPE in one["properties"] else one
    if origin in (tuple, list):
        if len(arguments) == 1 or arguments[1:] == (Ellipsis,):
            return {"type": "array", "items": _maybe(_of_type(arguments[0]))}
        count = len(arguments)
        items = [_maybe(_of_type(argument)) for argument in arguments]
        return {"type": "array", "items": items, "minItems": count, "maxItems": count}
    if origin is not None:
        return {"type": "object", "additionalProperties": _maybe(_of_type(arguments[1]))}
    named = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return {"type": named[hint]} if hint in named else {}


def _bounds(allowed: Range) -> Schema:
    """Return the schema of a range; schedules have a shared definition without bounds."""
    words = {
        "minimum": allowed.least,
        "maximum": allowed.most,
        "exclusiveMinimum": allowed.above,
        "exclusiveMaximum": allowed.below,
    }
    return {word: bound for word, bound in words.items() if bound is not None}


def _maybe(schema: Schema) -> Schema:
    """Return a schema that also allows null and interpolations."""
    return {"anyOf": [schema, _ref("anywhere")]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}
