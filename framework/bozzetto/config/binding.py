"""Strict conversion of plain YAML values to frozen dataclasses; errors name the full path of the key."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from bozzetto.errors import ConfigError, did_you_mean, shown
from bozzetto.fields import FilePath, Range, hints_of, range_of
from bozzetto.math.schedules import Schedule

REQUIRED = "???"
"""Placeholder in a recipe for a value that the user must give."""
TYPE = "type"
"""Field that a text in place of a nested dataclass sets, as in place of a component: `none` for `{type: none}`."""


class RangeError(ConfigError):
    """Number of the right type outside its range."""


def bind(schema: type, values: object, where: str) -> Any:
    """Build the frozen dataclass `schema` from a mapping.

    Args:
        schema: a dataclass whose fields are bool, int, float, str, Literal, tuples, `X | None`, `dict[str, X]`,
            nested dataclasses or `Schedule`; numbers may have a `bozzetto.fields.Range`, and without one are finite
            and fit 32 (float) or 64 bits (int).
        values: YAML values.
        where: path of `values` in the recipe, e.g. `system.geometry`.

    Raises:
        ConfigError: unknown key (with the nearest), missing or wrongly typed value, or a check of the dataclass failed.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected {', '.join(item.name for item in fields(schema))}; got {shown(values)}.")
    known = {item.name: item for item in fields(schema)}
    for key in values:
        if key not in known:
            hint = did_you_mean(str(key), known)
            names = ", ".join(known) or "none"
            raise ConfigError(f"{where}.{key} is not a field of {schema.__name__}.{hint} Fields: {names}.")
    hints = hints_of(schema)
    bound = {}
    for name, item in known.items():
        if name in values:
            if values[name] == REQUIRED:
                raise ConfigError(f"{where}.{name} must be given. Add {where}.{name}=... to the command line.")
            bound[name] = convert(hints[name], values[name], f"{where}.{name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ConfigError(f"{where}.{name} is missing: {schema.__name__} has no default for it.")
    try:
        return schema(**bound)
    except ValueError as error:
        about_a_field = str(error).partition(":")[0] in known
        raise ConfigError(f"{where}.{error}" if about_a_field else f"{where}: {error}") from error


def convert(hint: Any, value: object, where: str) -> Any:
    """Convert `value` to the type `hint`; a `ConfigError` says what is expected at `where`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        number = arguments[0] in (int, float)  # the range comes from the marker, not from the type
        made = _convert_scalar(arguments[0], value, where) if number else convert(arguments[0], value, where)
        return _in_range(hint, made, where)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is Literal:
        if any(value == argument and type(value) is type(argument) for argument in arguments):
            return value
        hint_text = did_you_mean(shown(value).strip("'"), [str(a) for a in arguments])
        raise ConfigError(f"{where}: {shown(value)} is not one of {', '.join(map(str, arguments))}.{hint_text}")
    if hint is Schedule:
        try:
            return Schedule.parse(value)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}.") from error
    if isinstance(hint, type) and is_dataclass(hint):
        named = isinstance(value, str) and TYPE in hints_of(hint)
        return bind(hint, {TYPE: value} if named else value, where)
    if origin in (tuple, list):
        return _convert_tuple(arguments, value, where)
    if origin in (dict, Mapping, get_origin(Mapping[str, int])):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a mapping, got {shown(value)}.")
        return {str(k): convert(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    return _in_range(hint, _convert_scalar(hint, value, where), where)


def _in_range(hint: Any, value: Any, where: str) -> Any:
    """Return `value`, or raise `RangeError`."""
    allowed = range_of(hint)
    if allowed is not None:
        try:
            allowed.check(value, where)
        except ValueError as error:
            raise RangeError(f"{error}.") from error
    return value


def _convert_union(arguments: tuple[Any, ...], value: object, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    choices = [a for a in arguments if a is not type(None)]
    errors = []
    for choice in choices:
        try:
            return convert(choice, value, where)
        except ConfigError as error:
            errors.append(error)
    inner = (f"{where}[", f"{where}.")  # prefer the error of one item to the error that it should not be a list
    raise max(errors, key=lambda error: (isinstance(error, RangeError), str(error).startswith(inner)))


def _convert_tuple(arguments: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: expected a list, got {shown(value)}.")
    if (len(arguments) == 2 and arguments[1] is Ellipsis) or len(arguments) == 1:
        inner = [arguments[0]] * len(value)
    else:
        inner = list(arguments)
    if len(inner) != len(value):
        raise ConfigError(f"{where}: expected {len(inner)} values, got {len(value)}: {shown(value)}.")
    return tuple(convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(inner, value, strict=True)))


def _convert_scalar(hint: Any, value: object, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(_in_range(float, value, where))
    if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if hint is str and isinstance(value, (bool, int, float)):
        raise ConfigError(f"{where}: expected text, got {shown(value)}; quote it.")
    raise ConfigError(f"{where}: expected {names.get(hint, hint)}, got {shown(value)}.")


@dataclass(frozen=True)
class FieldHelp:
    """Documentation of one field, printed by `bozzetto plugins show`."""

    name: str
    type: str
    default: str
    text: str


def describe(schema: type) -> list[FieldHelp]:
    """Describe every field of a config dataclass: type, default and docstring. Nested fields are `outer.inner`.

    Those of the items of a list are `outer[].inner`.
    """
    texts, hints = field_texts(schema), hints_of(schema)
    described = []
    for item in fields(schema):
        default = item.default if item.default is not MISSING else None
        if item.default_factory is not MISSING:
            default = item.default_factory()
        required = item.default is MISSING and item.default_factory is MISSING
        hint = hints[item.name]
        nested = is_dataclass(hint) and hint is not Schedule
        shown = "required" if required else "as below" if nested else _shown(default)
        described.append(FieldHelp(item.name, type_text(hint), shown, texts.get(item.name, "")))
        if nested:
            described += [replace(inner, name=f"{item.name}.{inner.name}") for inner in describe(hint)]
        of = get_args(hint)[0] if get_origin(hint) is tuple else None
        if isinstance(of, type) and is_dataclass(of):
            described += [replace(inner, name=f"{item.name}[].{inner.name}") for inner in describe(of)]
    return described


def type_text(hint: Any) -> str:
    """Format a type for documentation: `hard | soft`, `float in [0, 1]`, `(float, float)`, `int | null`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        ranges = [f"{type_text(arguments[0])} in {item}" for item in arguments[1:] if isinstance(item, Range)]
        files = ["file" for item in arguments[1:] if isinstance(item, FilePath) and not item.or_name]
        return (ranges or files or [type_text(arguments[0])])[0]
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(argument) for argument in arguments)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if hint is type(None):
        return "null"
    if origin in (tuple, list):
        if len(arguments) == 1 or arguments[1:] == (Ellipsis,):
            return f"list of {type_text(arguments[0])}"
        return f"({', '.join(map(type_text, arguments))})"
    if origin is not None:
        return f"mapping of {type_text(arguments[1])}"
    return getattr(hint, "__name__", str(hint))


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value or "''"
    text = plain(value)
    if isinstance(text, dict):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in text.items()) + "}"
    if isinstance(text, list):
        return "[" + ", ".join(map(_shown, text)) + "]"
    return str(text)


def field_texts(schema: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass, including inherited fields; empty without source files."""
    texts: dict[str, str] = {}
    for base in reversed([base for base in schema.__mro__ if is_dataclass(base)]):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, SyntaxError):
            continue
        name = None
        for node in tree.body if isinstance(tree, ast.ClassDef) else ():
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                name = node.target.id
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name is not None:
                texts[name] = " ".join(str(node.value.value).split())
            name = None
    return texts


def plain(value: object) -> Any:
    """Convert a bound config to plain YAML values that `bind` reads back."""
    if isinstance(value, Schedule):
        return value.as_yaml()
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
