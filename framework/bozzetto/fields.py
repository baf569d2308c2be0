"""Annotations of config fields: ranges of numbers, and strings that are file paths. No torch.

`Annotated[float, Range(above=0.0, most=10.0)]` is checked when a recipe is read, and shown by `bozzetto plugins show`
and the JSON schema. It is checked on direct construction too if `__post_init__` calls `check_fields(self)`.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from bozzetto.errors import shown
from bozzetto.math.schedules import LARGEST, LAST_STEP, Schedule

__all__ = [
    "FLOAT",
    "INT",
    "Depth",
    "FilePath",
    "Length",
    "Number",
    "Pixels",
    "Range",
    "Share",
    "Step",
    "Width",
    "bare",
    "check_fields",
    "choices",
    "each_place",
    "hints_of",
    "marked",
    "markers",
    "range_of",
]

Number = int | float


@dataclass(frozen=True)
class Range:
    """Range of a number; for a `Schedule`, of both ends and thereby of all values. NaN is in no range.

    Raises:
        ValueError: not exactly one lower and one upper bound are given.
    """

    least: Number | None = None
    """Inclusive lower bound."""
    most: Number | None = None
    """Inclusive upper bound."""
    above: Number | None = None
    """Exclusive lower bound."""
    below: Number | None = None
    """Exclusive upper bound."""

    def __post_init__(self) -> None:
        if (self.least is None) == (self.above is None) or (self.most is None) == (self.below is None):
            raise ValueError("a range has one of least and above, and one of most and below")

    def __contains__(self, number: Number) -> bool:
        over = number >= self.least if self.least is not None else number > typing.cast("Number", self.above)
        return over and (number <= self.most if self.most is not None else number < typing.cast("Number", self.below))

    def __str__(self) -> str:
        """Format the range as an interval: `[0, 1]`, `(0, 180)`."""
        low = f"[{_number(self.least)}" if self.least is not None else f"({_number(self.above)}"
        high = f"{_number(self.most)}]" if self.most is not None else f"{_number(self.below)})"
        return f"{low}, {high}"

    def check(self, value: object, where: str) -> None:
        """Raise `ValueError` if a number, or an end of a schedule, is outside. Other values are ignored."""
        ends = (value.start, value.end) if isinstance(value, Schedule) else (value,)
        for number in ends:
            if isinstance(number, (int, float)) and not isinstance(number, bool) and number not in self:
                raise ValueError(f"{where}: must lie in {self}, got {shown(number)}")


@dataclass(frozen=True)
class FilePath:
    """Path of a file whose existence `bozzetto check` verifies. An empty string means no file.

    Write `path: Annotated[str, FilePath()]`, or `Annotated[str, FilePath()] | None`.
    """

    or_name: bool = False
    """True if the string may also be a name, e.g. of weights in a catalogue; its existence is then not checked."""
    beside: str = ""
    """Field with a file path to whose folder a relative path refers; empty: the working folder."""


FLOAT = Range(least=-LARGEST, most=LARGEST)
"""Default range of floats: finite in float32."""
INT = Range(least=-(2**63), most=2**63 - 1)
"""Default range of integers: 64 bits."""

Share = Annotated[float, Range(least=0.0, most=1.0)]
"""Probability or fraction in [0, 1]."""
Length = Annotated[float, Range(least=1e-3, most=1e3)]
"""Length in world units; the bounds keep points distinct in float32, and squares finite."""
Step = Annotated[int, Range(least=0, most=LAST_STEP)]
"""Optimiser step."""
Pixels = Annotated[int, Range(least=1, most=8192)]
"""Image side in pixels."""
Width = Annotated[int, Range(least=1, most=4096)]
"""Width of a network layer."""
Depth = Annotated[int, Range(least=1, most=64)]
"""Number of network layers."""


@functools.cache
def hints_of(schema: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields, with their annotations."""
    hints = typing.get_type_hints(schema, include_extras=True)
    return {item.name: hints[item.name] for item in fields(schema)}


def check_fields(config: object) -> None:
    """Check every number of a config dataclass against the range in its annotation; for `__post_init__`.

    Raises:
        ValueError: a number is outside, NaN, or infinite; the message starts with the field's name.
    """
    schema: type = type(config)
    for name, hint in hints_of(schema).items():
        _check(hint, getattr(config, name), name)


def marked(schema: type, marker: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted names of fields annotated with a marker, and the markers.

    Those of nested configs are `outer.inner`, those of configs in a list `outer[].inner`.
    """
    for name, hint in hints_of(schema).items():
        for choice in choices(hint):
            found = [item for item in markers(choice) if isinstance(item, marker)]
            yield from ((prefix + name, item) for item in found)
            if is_dataclass(choice) and isinstance(choice, type) and choice is not Schedule:
                yield from marked(choice, marker, f"{prefix}{name}.")
            elif (
                get_origin(choice) is tuple
                and get_args(choice)[1:] == (Ellipsis,)
                and is_dataclass(get_args(choice)[0])
            ):
                yield from marked(get_args(choice)[0], marker, f"{prefix}{name}[].")


def each_place(found: Iterable[tuple[str, Any]], value_at: Callable[[str], object]) -> Iterator[tuple[str, Any]]:
    """Yield what `marked` found, with the items of lists: `files.0.path`, `files.1.path` for `files[].path`.

    Args:
        value_at: returns the value at a dotted key.
    """
    for name, marker in found:
        head, listed, rest = name.partition("[].")
        items = value_at(head) if listed else ()
        if not listed:
            yield name, marker
        elif isinstance(items, (list, tuple)):
            yield from each_place([(f"{head}.{index}.{rest}", marker) for index in range(len(items))], value_at)


def choices(hint: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union type; other types are their only alternative."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def bare(hint: Any) -> Any:
    """Return a type without its markers."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def markers(hint: Any) -> tuple[Any, ...]:
    """Return the markers of a type."""
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def range_of(hint: Any) -> Range | None:
    """Return the range of a numeric type, the default if it has none; None for other types."""
    own = [item for item in markers(hint) if isinstance(item, Range)]
    return own[0] if own else {int: INT, float: FLOAT}.get(bare(hint))


def _check(hint: Any, value: object, where: str) -> None:
    for choice in choices(hint):
        inner = bare(choice)
        if get_origin(inner) is tuple and isinstance(value, (tuple, list)):
            arguments = get_args(inner)
            each = [arguments[0]] * len(value) if arguments[1:] == (Ellipsis,) else list(arguments)
            for index, (part, item) in enumerate(zip(each, value, strict=False)):
                _check(part, item, f"{where}[{index}]")
        elif get_origin(inner) is dict and isinstance(value, dict):
            for key, item in value.items():
                _check(get_args(inner)[1], item, f"{where}.{key}")
        elif inner in (int, float, Schedule) and (allowed := range_of(choice)) is not None:
            allowed.check(value, where)


def _number(value: Number | None) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
