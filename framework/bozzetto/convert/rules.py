"""What a translation rule is: data that the converter follows and the documentation prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

UNSET: Final = object()
"""No default is known, or the value is left to ours."""

Read = Callable[[str], Any]
"""The value of another key of theirs by its full path, their default if the recipe leaves it out, else None."""
How = Callable[[Any, Read], Any]
"""From their value to ours, to `Changed`, to `Lost`, or to `UNSET` for nothing."""

Severity = Literal["lost", "changed", "idle"]


@dataclass(frozen=True)
class Changed:
    """A value that means nearly the same."""

    value: Any
    why: str


@dataclass(frozen=True)
class Lost:
    """A value that cannot be had here."""

    why: str


@dataclass(frozen=True)
class Note:
    """What became of one key that has no equal here."""

    severity: Severity
    """`lost`: not translated. `changed`: translated with a difference. `idle`: nothing is lost without it."""
    key: str
    """Its full path in their recipe."""
    why: str

    def __str__(self) -> str:
        return f"{self.key}: {self.why}"


@dataclass(frozen=True)
class Key:
    """What becomes of one key of a part."""

    name: str
    """Below its part; dots reach into nested mappings."""
    default: Any = UNSET
    """Theirs."""
    to: tuple[str, ...] = ()
    """`slot.field` of ours; the first one that the chosen component has. Empty: it has no equal."""
    how: How | None = None
    """None: the value itself."""
    note: str = ""
    """For the documentation: how the value changes, or why there is no equal."""
    idle: bool = False
    """Nothing is lost without it."""
    fill: bool = True
    """Write their default out where the recipe leaves the key out and ours differs."""
    specific: bool = False
    """Means nothing to a component that only stands in."""
    default_inside: Any = UNSET
    """Theirs where the recipe gives the mapping around the key, and thereby none of the class's own defaults."""


@dataclass(frozen=True)
class Part:
    """One of their types and the component of ours that stands for it."""

    slot: str
    type: str
    ours: tuple[str, ...]
    """Names to look for, best first."""
    keys: tuple[Key, ...] = ()
    fixed: tuple[tuple[str, Any], ...] = ()
    """What they have written into the code and we have as a field: `(slot.field, value)`."""
    note: str = ""
    choose: Callable[[Read], tuple[str, ...]] | None = None
    """Which of `ours` to look for, where the keys decide."""
    near: tuple[str, ...] = ()
    """What stands in best, should there be none of `ours`."""


@dataclass(frozen=True)
class Slot:
    """A place for a component in both kinds of recipe."""

    name: str
    kind: str
    base: str
    """Where its keys are in theirs."""
    type_key: str
    where: str
    """Where it is in ours."""
    stand_in: str | None
    """What keeps the recipe valid when theirs has no equal; None: the slot stays empty."""


def same(
    name: str, default: Any, *to: str, how: How | None = None, note: str = "", fill: bool = True,
    default_inside: Any = UNSET,
) -> Key:  # fmt: skip
    """A key with an equal of ours."""
    return Key(name, default, to, how, note, fill=fill, default_inside=default_inside)


def lost(name: str, default: Any, why: str) -> Key:
    """A key without one: a value other than their default is reported."""
    return Key(name, default, note=why)


def idle(name: str, why: str, default: Any = UNSET) -> Key:
    """A key that is not needed here."""
    return Key(name, default, note=why, idle=True)


def lacking(*names: str) -> tuple[Key, ...]:
    """Keys of a part that has no equal, or of a feature that does not exist here."""
    return tuple(Key(name, note="there is nothing like it here") for name in names)


def below(prefix: str, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """The same keys in a nested mapping."""
    return tuple(replace(key, name=f"{prefix}.{key.name}") for key in keys)


def with_defaults(keys: tuple[Key, ...], defaults: Mapping[str, Any]) -> tuple[Key, ...]:
    """The same keys where a class of theirs has other defaults."""
    return tuple(replace(key, default=defaults.get(key.name, key.default)) for key in keys)
