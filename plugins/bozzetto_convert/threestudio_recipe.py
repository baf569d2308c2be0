"""Reads a threestudio recipe: merges overrides, then resolves interpolations and resolver functions value by value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from bozzetto.config import layers
from bozzetto.config.binding import REQUIRED
from bozzetto.errors import ConfigError
from bozzetto_convert.rules import UNSET
from bozzetto_convert.values import largest

RESOLVERS: dict[str, Any] = {
    "calc_exp_lr_decay_rate": lambda factor, n: factor ** (1.0 / n),
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "idiv": lambda a, b: a // b,
    "basename": lambda path: PurePosixPath(path).name,
    "rmspace": lambda text, by: text.replace(" ", by),
    "tuple2": lambda value: [float(value), float(value)],
    "gt0": lambda value: value > 0,
    "cmaxgt0": lambda value: largest(value) > 0,
    "not": lambda value: not value,
    "cmaxgt0orcmaxgt0": lambda a, b: largest(a) > 0 or largest(b) > 0,
}
"""Resolver functions that threestudio recipes call between `${` and `}`."""


@dataclass(frozen=True)
class Source:
    """threestudio recipe with interpolations resolved."""

    name: str
    """File name."""
    tree: Mapping[str, Any]
    unresolved: Mapping[str, str]
    """Reason by dotted path of each value whose interpolation cannot be resolved."""

    def get(self, path: str) -> Any:
        """Return the value at a dotted path, `UNSET` if it does not exist."""
        value: Any = self.tree
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return UNSET
            value = value[part]
        return value

    def leaves(self) -> Iterator[str]:
        """Yield the dotted path of every value that is not a mapping, and of every empty mapping."""
        yield from _leaves(self.tree, "")


def read(path: Path, overrides: Iterable[str] = ()) -> Source:
    """Read a threestudio recipe.

    Args:
        overrides: threestudio keys with values, as in `system.prompt_processor.prompt=a hamburger`.

    Raises:
        ConfigError: the file does not exist, is not YAML, or is not a threestudio recipe.
    """
    values = layers.read(path)
    require_threestudio(values, path)
    values = layers.overlay(values, layers.parse_overrides(overrides))
    unresolved: dict[str, str] = {}
    return Source(path.name, _resolved(values, "", values, unresolved), unresolved)


def require_threestudio(values: Mapping[str, Any], path: Path) -> None:
    """Raise `ConfigError` unless `values` is a threestudio recipe: `system` with parts chosen by `*_type` keys."""
    system = values.get("system")
    types = [key for key in system if str(key).endswith("_type")] if isinstance(system, Mapping) else []
    if "system_type" in values or types:
        if isinstance(system, Mapping):
            return
        raise ConfigError(f"{path} has a system_type and no mapping 'system': it is only a part of a recipe.")
    if isinstance(system, Mapping) and any(isinstance(part, Mapping) and "type" in part for part in system.values()):
        raise ConfigError(f"{path} is a recipe of this project already. Run it: python launch.py --config {path}")
    found = ", ".join(map(str, values)) or "nothing"
    raise ConfigError(
        f"{path} is no threestudio recipe: it has no system_type and no system.geometry_type or the like, but {found}."
    )


class Unresolvable(Exception):
    """Interpolation that cannot be resolved; the message gives the reason."""


def _resolved(node: Mapping[str, Any], where: str, root: Mapping[str, Any], failed: dict[str, str]) -> dict[str, Any]:
    """Resolve each `${...}`; unresolvable values are kept as they are, with a reason in `failed`."""
    values: dict[str, Any] = {}
    for key, value in node.items():
        path = f"{where}.{key}" if where else str(key)
        if isinstance(value, Mapping):
            values[str(key)] = _resolved(value, path, root, failed)
            continue
        try:
            values[str(key)] = _follow(value, root, ())
        except (Unresolvable, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            failed[path] = str(error)
            values[str(key)] = value
    return values


def _follow(value: Any, root: Mapping[str, Any], trail: tuple[str, ...]) -> Any:
    """Resolve the interpolations of a value; one that spans the whole text keeps its type."""
    if isinstance(value, list):
        return [_follow(item, root, trail) for item in value]
    if isinstance(value, Mapping):
        return {key: _follow(item, root, trail) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    pieces = list(_pieces(value))
    if len(pieces) == 1 and pieces[0][0]:
        return _evaluate(pieces[0][1], root, trail)
    return "".join(str(_evaluate(text, root, trail)) if inside else text for inside, text in pieces)


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the pieces outside (False) and inside (True) of the outermost `${` and `}`, in order."""
    while (start := text.find("${")) >= 0:
        depth, end = 1, start + 2
        while depth and end < len(text):
            depth += 1 if text.startswith("${", end) else -1 if text[end] == "}" else 0
            end += 1
        if start:
            yield False, text[:start]
        yield True, text[start + 2 : end - 1]
        text = text[end:]
    if text:
        yield False, text


def _evaluate(inside: str, root: Mapping[str, Any], trail: tuple[str, ...]) -> Any:
    """Evaluate `a.b.c`, or `function:argument,argument` with possibly nested interpolations."""
    name, colon, rest = inside.partition(":")
    if colon:
        if name not in RESOLVERS:
            raise Unresolvable(f"the function {name!r} is not one of threestudio's")
        return RESOLVERS[name](*(_argument(text, root, trail) for text in _arguments(rest)))
    if inside in trail:
        raise Unresolvable(f"{' -> '.join((*trail, inside))} is circular")
    value: Any = root
    for part in inside.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise Unresolvable(f"there is no key {inside!r}")
        value = value[part]
    if value == REQUIRED:
        raise Unresolvable(f"{inside} must still be given")
    return _follow(value, root, (*trail, inside))


def _argument(text: str, root: Mapping[str, Any], trail: tuple[str, ...]) -> Any:
    return _follow(text, root, trail) if "${" in text else yaml.safe_load(text)


def _arguments(text: str) -> list[str]:
    """Split at the commas outside of braces."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _leaves(tree: Mapping[str, Any], where: str) -> Iterator[str]:
    for key, value in tree.items():
        path = f"{where}.{key}" if where else key
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, path)
        else:
            yield path
