"""Marks that a config puts on its fields beside their type: ranges of numbers, texts that name files. No torch here.

`Annotated[float, Range(above=0.0, most=10.0)]` is checked when a recipe is read, and shown by `bozzetto plugins
show` and the JSON schema. It is checked on direct construction too where `__post_init__` calls `check_fields(self)`.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from bozzetto.errors import shown
from bozzetto.math.schedules import LARGEST, LAST_STEP, Schedule

Number = int | float


@dataclass(frozen=True)
class Range:
    """The numbers that a field takes; of a `Schedule`, its two ends, and so all between. NaN is in no range.

    Raises:
        ValueError: not exactly one lower and one upper bound are given.
    """

    least: Number | None = None
    """Lower bound, allowed itself."""
    most: Number | None = None
    """Upper bound, allowed itself."""
    above: Number | None = None
    """Lower bound, not allowed itself."""
    below: Number | None = None
    """Upper bound, not allowed itself."""

    def __post_init__(self) -> None:
        if (self.least is None) == (self.above is None) or (self.most is None) == (self.below is None):
            raise ValueError("a range has one of least and above, and one of most and below")

    def __contains__(self, number: Number) -> bool:
        over = number >= self.least if self.least is not None else number > typing.cast("Number", self.above)
        return over and (number <= self.most if self.most is not None else number < typing.cast("Number", self.below))

    def __str__(self) -> str:
        """The range as an interval: `[0, 1]`, `(0, 180)`."""
        low = f"[{_number(self.least)}" if self.least is not None else f"({_number(self.above)}"
        high = f"{_number(self.most)}]" if self.most is not None else f"{_number(self.below)})"
        return f"{low}, {high}"

    def check(self, value: object, where: str) -> None:
        """Raises `ValueError` if a number, or an end of a schedule, lies outside. Says nothing of other values."""
        ends = (value.start, value.end) if isinstance(value, Schedule) else (value,)
        for number in ends:
            if isinstance(number, (int, float)) and not isinstance(number, bool) and number not in self:
                raise ValueError(f"{where}: must lie in {self}, got {shown(number)}")


@dataclass(frozen=True)
class FilePath:
    """Text that names a file, which `bozzetto check` looks for. Empty text names none.

    Write `path: Annotated[str, FilePath()]`, or `Annotated[str, FilePath()] | None`.
    """

    or_name: bool = False
    """The text may also be a name of something else, e.g. of weights in a catalogue: then it is not looked for."""
    beside: str = ""
    """The field that names a file in whose folder a relative path starts; empty: where the command runs."""


FLOAT = Range(least=-LARGEST, most=LARGEST)
"""Range of a float whose field says nothing: finite in 32 bits."""
INT = Range(least=-(2**63), most=2**63 - 1)
"""Range of a whole number whose field says nothing: 64 bits."""

Share = Annotated[float, Range(least=0.0, most=1.0)]
"""A probability or a part of a whole."""
Length = Annotated[float, Range(least=1e-3, most=1e3)]
"""A length of the scene, world units: 32 bits tell points of such a scene apart, and none is lost in squares."""
Step = Annotated[int, Range(least=0, most=LAST_STEP)]
"""A step of the optimiser."""
Pixels = Annotated[int, Range(least=1, most=8192)]
"""The side of a picture."""
Width = Annotated[int, Range(least=1, most=4096)]
"""The width of a network's layer."""
Depth = Annotated[int, Range(least=1, most=64)]
"""A number of a network's layers."""


@functools.cache
def hints_of(schema: type) -> dict[str, Any]:
    """The types of a dataclass's fields, with their markers."""
    hints = typing.get_type_hints(schema, include_extras=True)
    return {item.name: hints[item.name] for item in fields(schema)}


def check_fields(config: object) -> None:
    """Check every number of a config dataclass against the range in its annotation; for `__post_init__`.

    Raises:
        ValueError: a number lies outside, is NaN, or is infinite; the message starts with the field's name.
    """
    schema: type = type(config)
    for name, hint in hints_of(schema).items():
        _check(hint, getattr(config, name), name)


def marked(schema: type, marker: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted names of the fields that carry a marker, those of nested dataclasses included, and the markers."""
    for name, hint in hints_of(schema).items():
        for choice in choices(hint):
            found = [item for item in markers(choice) if isinstance(item, marker)]
            yield from ((prefix + name, item) for item in found)
            if is_dataclass(choice) and isinstance(choice, type) and choice is not Schedule:
                yield from marked(choice, marker, f"{prefix}{name}.")


def choices(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a type, one if it is no union."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def bare(hint: Any) -> Any:
    """A type without its markers."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def markers(hint: Any) -> tuple[Any, ...]:
    """The markers of a type."""
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def range_of(hint: Any) -> Range | None:
    """The range of a type of numbers, the widest if it names none; None for other types."""
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
