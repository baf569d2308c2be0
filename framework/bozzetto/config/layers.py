"""Layers of plain values: recipe, profile, stage and command line, merged in this order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bozzetto.config import yaml_text
from bozzetto.config.expansion import check_expansion
from bozzetto.errors import ConfigError, shown

CHANGES = "stages"
"""Key of deferred stage overrides of `system` and `trainer`; nulls below it are kept until they are merged."""

LETTERS = ("prompt", "negative_prompt", "image")
"""Keys of literal strings: a prompt or a path may contain colons, commas, brackets, and even `${...}`."""


def read(path: Path) -> dict[str, Any]:
    """Read a YAML file as plain values, without resolving interpolations.

    Raises:
        ConfigError: the file does not exist or is not YAML.
    """
    try:
        values = yaml_text.parse(yaml_text.read_text(path), str(path))
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        known = f" {path.parent} holds: {', '.join(near)}." if near else ""
        raise ConfigError(f"There is no recipe {path}.{known}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping, not {type(values).__name__}.")
    return values


def overlay(base: Mapping[str, Any], top: Mapping[str, Any], keep_null: bool = False) -> dict[str, Any]:
    """Merge `top` over `base`: mappings merge, other values replace, null removes.

    A mapping whose `type` differs from that of `base` replaces it entirely, since fields of another component do not
    apply. `bozzetto/hash-grid` and `hash-grid` are the same type. A string below a mapping is a component name,
    `hash-grid` for `{type: hash-grid}`. With `keep_null`, and below `stages`, null is kept, so that a stage can remove
    values of the recipe's `system`.
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
            under: Mapping[str, Any] = {}
            if isinstance(below, Mapping) and same_type(value.get("type", below.get("type")), below.get("type")):
                under = below
            merged[key] = overlay(under, value, keep_null or key == CHANGES)
        else:
            merged[key] = value
    return merged


def same_type(one: object, two: object) -> bool:
    """Return whether two types match: equal, or equal except for a distribution that only one of them names."""
    if not isinstance(one, str) or not isinstance(two, str):
        return one == two
    (dist, _, name), (other_dist, _, other_name) = one.rpartition("/"), two.rpartition("/")
    return name == other_name and (dist == other_dist or not dist or not other_dist)


def parse_overrides(items: Iterable[str]) -> dict[str, Any]:
    """Parse `["system.geometry.levels=12", "prompt=a hamburger"]` into nested values.

    Raises:
        ConfigError: an item is not `key=value`, or its value is not YAML.
    """
    values: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not all(key.split(".")) or key.startswith("-"):
            raise ConfigError(f"{item!r} is not an override. Write key=value, e.g. system.geometry.levels=12.")
        if not _is_text(item):
            raise ConfigError(f"{key!a}: {text!a} is not UTF-8. Check the terminal's encoding, e.g. LANG=C.UTF-8.")
        if key in LETTERS:
            value: Any = text
        else:
            try:
                parsed = yaml_text.parse(f"value: {text}" if text else "value: ''", key)
                (value,) = parsed.values()
            except (ConfigError, ValueError) as error:
                raise ConfigError(
                    f"{key}: {shown(text)} is not a YAML value. Quote it, e.g. {key}='\"...\"'. ({_reason(error)})"
                ) from error
        if key.count(".") >= yaml_text.DEEPEST:
            raise ConfigError(f"{shown(key)}: a key has at most {yaml_text.DEEPEST} parts.")
        for part in reversed(key.split(".")):
            value = {part: value}
        values = overlay(values, value, keep_null=True)
    return values


def _reason(error: Exception) -> str:
    """Return the reason of a value's error, without its location."""
    return str(error).split(": ", 1)[-1].rstrip(".") if isinstance(error, ConfigError) else "it is more than one"


def _is_text(item: str) -> bool:
    """Return whether a command-line argument could be decoded; Python keeps undecodable bytes as lone surrogates."""
    try:
        item.encode()
    except UnicodeEncodeError:
        return False
    return True


def leaves(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys of all values that are not mappings, or are empty mappings."""
    found = []
    for key, value in values.items():
        full = f"{prefix}{key}"
        found += leaves(value, f"{full}.") if isinstance(value, Mapping) and value else [full]
    return found


def value_at(values: Mapping[str, Any], key: str) -> Any:
    """Return the value at a dotted key of nested values; None if it does not exist. `list.0` is a list's first item."""
    value: Any = values
    for part in key.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def with_value(values: Mapping[str, Any], key: str, value: object) -> dict[str, Any]:
    """Return nested values with the value at a dotted key replaced."""
    head, _, rest = key.partition(".")
    below = values.get(head)
    index, _, inside = rest.partition(".")
    if isinstance(below, list) and index.isdigit():
        changed = [
            (with_value(item, inside, value) if inside else value) if position == int(index) else item
            for position, item in enumerate(below)
        ]
        return {**values, head: changed}
    return {**values, head: with_value(below if isinstance(below, Mapping) else {}, rest, value) if rest else value}


def resolve(values: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve `${...}` interpolations, except in literal strings.

    Raises:
        ConfigError: an interpolation has no target, or the result is too large.
    """
    letters = {f"\0{key}\0": values[key] for key in LETTERS if isinstance(values.get(key), str)}
    marked = {**values, **{key: f"\0{key}\0" for key in LETTERS if isinstance(values.get(key), str)}}
    check_expansion(marked)
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(marked), resolve=True)
    except OmegaConfBaseException as error:
        raise _unresolved(error) from error
    plain: dict[str, Any] = _replaced(resolved, letters)
    return plain


def resolve_one(values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a top-level key with interpolations resolved.

    Raises:
        ConfigError: an interpolation has no target, or the result is too large.
    """
    others = {name: value for name, value in values.items() if name == key or name not in LETTERS}
    check_expansion(others)
    try:
        return OmegaConf.create(others)[key]
    except OmegaConfBaseException as error:
        raise _unresolved(error) from error


def _unresolved(error: OmegaConfBaseException) -> ConfigError:
    text = str(error).splitlines()[0]
    return ConfigError(f"{error.full_key}: {text}." if error.full_key else f"{text}.")


def _replaced(value: Any, letters: Mapping[str, str]) -> Any:
    """Replace the markers in nested values by their texts."""
    if isinstance(value, dict):
        return {key: _replaced(item, letters) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, letters) for item in value]
    if isinstance(value, str) and "\0" in value:
        for marker, text in letters.items():
            value = value.replace(marker, text)
    return value


def key_parts(key: str) -> list[str | int]:
    """Split `"system.span[0]"` into `["system", "span", 0]`."""
    parts: list[str | int] = []
    for part in key.split("."):
        name, *indices = part.split("[")
        parts += [name, *(int(index[:-1]) for index in indices if index[:-1].isdigit())]
    return parts


def line_of(path: Path, parts: Sequence[str | int]) -> int | None:
    """Return the line (from 1) of a key in a YAML file; None if it does not exist."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml_text.LOADER)
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
