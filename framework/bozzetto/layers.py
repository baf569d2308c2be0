"""Layers of plain values: recipe, profile, stage and command line, merged in that order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bozzetto.errors import ConfigError

CHANGES = "stages"
"""Below this key stand changes that are laid over `system` and `trainer` later: until then a null is kept."""

FASTEST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it: ten times faster."""

RAW_TEXT = ("prompt", "negative_prompt", "image")
"""Overrides taken letter by letter: a prompt or a path may hold colons, commas and brackets."""


def read(path: Path) -> dict[str, Any]:
    """A YAML file as plain values, interpolations left alone.

    Raises:
        ConfigError: the file is not there or is not YAML.
    """
    try:
        loaded = OmegaConf.load(path)
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        known = f" {path.parent} holds: {', '.join(near)}." if near else ""
        raise ConfigError(f"There is no recipe {path}.{known}") from None
    except (yaml.YAMLError, OSError, ValueError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    values = OmegaConf.to_container(loaded, resolve=False)
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping, not {type(values).__name__}.")
    return values


def overlay(base: Mapping[str, Any], top: Mapping[str, Any], keep_null: bool = False) -> dict[str, Any]:
    """`top` over `base`: mappings merge, anything else replaces, null removes.

    A mapping whose `type` differs from the one below replaces it whole: the fields of another component mean nothing.
    `bozzetto/hash-grid` and `hash-grid` are one type.
    Text below a mapping is a component's bare name, `hash-grid` for `{type: hash-grid}`.
    With `keep_null`, and below `stages`, null is kept, so that a stage can remove what the recipe's `system` says.
    """
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if isinstance(below, str) and isinstance(value, Mapping):
            below = {"type": below}
        if value is None and keep_null:
            merged[key] = None
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            same = isinstance(below, Mapping) and same_type(value.get("type", below.get("type")), below.get("type"))
            merged[key] = overlay(below if same else {}, value, keep_null or key == CHANGES)
        else:
            merged[key] = value
    return merged


def same_type(one: object, two: object) -> bool:
    """Whether two types can be one: equal, or equal but for the distribution, which only one of them names."""
    if not isinstance(one, str) or not isinstance(two, str):
        return one == two
    (dist, _, name), (other_dist, _, other_name) = one.rpartition("/"), two.rpartition("/")
    return name == other_name and (dist == other_dist or not dist or not other_dist)


def parse_overrides(items: Iterable[str]) -> dict[str, Any]:
    """`["system.geometry.levels=12", "prompt=a hamburger"]` as nested values.

    Raises:
        ConfigError: an item is not `key=value`, or its value is not YAML.
    """
    values: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not key or key.startswith("-"):
            raise ConfigError(f"{item!r} is not an override. Write key=value, e.g. system.geometry.levels=12.")
        if key in RAW_TEXT:
            value: Any = text
        else:
            try:
                parsed = OmegaConf.create(f"value: {text}" if text else "value: ''")
                value = OmegaConf.to_container(parsed, resolve=False)["value"]  # type: ignore[call-overload,index]
            except (yaml.YAMLError, OmegaConfBaseException) as error:
                raise ConfigError(f"{key}: {text!r} is not a YAML value. Quote it, e.g. {key}='\"...\"'.") from error
        nested: Any = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        values = overlay(values, nested) if value is not None else _keep_null(values, key.split("."))
    return values


def _keep_null(values: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
    """Set null at `path`, so that a later `overlay` removes the key."""
    head, *rest = path
    below = values.get(head)
    return {**values, head: _keep_null(below if isinstance(below, Mapping) else {}, rest) if rest else None}


def resolve(values: Mapping[str, Any]) -> dict[str, Any]:
    """Follow `${...}` interpolations.

    Raises:
        ConfigError: an interpolation names nothing.
    """
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(dict(values)), resolve=True)
    except OmegaConfBaseException as error:
        text = str(error).splitlines()[0]
        raise ConfigError(f"{error.full_key}: {text}." if error.full_key else f"{text}.") from error
    return dict(resolved)  # type: ignore[arg-type]


def key_parts(key: str) -> list[str | int]:
    """`"system.span[0]"` as `["system", "span", 0]`."""
    parts: list[str | int] = []
    for part in key.split("."):
        name, *indices = part.split("[")
        parts += [name, *(int(index[:-1]) for index in indices if index[:-1].isdigit())]
    return parts


def line_of(path: Path, parts: Sequence[str | int]) -> int | None:
    """The line (from 1) at which a key stands in a YAML file; None if it does not."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=FASTEST_LOADER)
    except (yaml.YAMLError, OSError):
        return None
    line = None
    for part in parts:
        if isinstance(node, yaml.MappingNode):
            key, node = next(((k, v) for k, v in node.value if k.value == str(part)), (None, None))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            key = node = node.value[part]
        else:
            return None
        if key is None:
            return None
        line = key.start_mark.line + 1
    return line
