"""Conversion rules as data, applied by the converter and printed in the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

UNSET: Final = object()
"""Marker: no default is known, or our own default applies."""

Read = Callable[[str], Any]
"""Returns the value of another threestudio key by its full path: as given, else its default, else None."""
How = Callable[[Any, Read], Any]
"""Converts a threestudio value to ours, to `Changed`, to `Lost`, or to `UNSET` to write nothing."""

Severity = Literal["lost", "changed", "idle"]


@dataclass(frozen=True)
class Changed:
    """Converted value with a slightly different meaning."""

    value: Any
    why: str


@dataclass(frozen=True)
class Lost:
    """Value that cannot be converted."""

    why: str


@dataclass(frozen=True)
class Note:
    """Note on a key without exact equivalent."""

    severity: Severity
    """`lost`: not translated. `changed`: translated with a difference. `idle`: not needed."""
    key: str
    """Full path in the threestudio recipe."""
    why: str

    def __str__(self) -> str:
        return f"{self.key}: {self.why}"

    @property
    def name(self) -> str:
        """The key without its value."""
        return self.key.split(" = ", 1)[0]


@dataclass(frozen=True)
class Key:
    """Conversion rule of one key of a part."""

    name: str
    """Key below its part; dots descend into nested mappings."""
    default: Any = UNSET
    """threestudio's default."""
    to: tuple[str, ...] = ()
    """Candidate targets `slot.field`; the first one that the chosen component has is used. Empty: no equivalent."""
    how: How | None = None
    """Conversion of the value; None copies it."""
    note: str = ""
    """Text for the documentation: how the value changes, or why there is no equivalent."""
    idle: bool = False
    """True if the key is not needed here."""
    fill: bool = True
    """Write threestudio's default if the recipe omits the key and our default differs."""
    specific: bool = False
    """True if the key has no meaning for a substitute component."""
    default_inside: Any = UNSET
    """threestudio's default if the recipe gives the enclosing mapping, which replaces all of the class's defaults."""


@dataclass(frozen=True)
class Part:
    """threestudio type and the corresponding component."""

    slot: str
    type: str
    ours: tuple[str, ...]
    """Names to look for, best first."""
    keys: tuple[Key, ...] = ()
    fixed: tuple[tuple[str, Any], ...] = ()
    """Values hard-coded in threestudio that are fields here: `(slot.field, value)`."""
    note: str = ""
    choose: Callable[[Read], tuple[str, ...]] | None = None
    """Selects the names among `ours` where this depends on other keys."""
    near: tuple[str, ...] = ()
    """Best substitutes if none of `ours` is installed."""
    missing: str = ""
    """What a system does that nothing here does; every check and run of the recipe repeats it."""


@dataclass(frozen=True)
class Slot:
    """Place for a component in both kinds of recipe."""

    name: str
    kind: str
    base: str
    """Path of its keys in a threestudio recipe."""
    type_key: str
    where: str
    """Path of the component in our recipe."""
    stand_in: str | None
    """Substitute that keeps the recipe valid without an equivalent; None leaves the slot empty."""


def same(
    name: str, default: Any, *to: str, how: How | None = None, note: str = "", fill: bool = True,
    default_inside: Any = UNSET,
) -> Key:  # fmt: skip
    """Return the rule of a key with an equivalent."""
    return Key(name, default, to, how, note, fill=fill, default_inside=default_inside)


def lost(name: str, default: Any, why: str) -> Key:
    """Return the rule of a key without equivalent; a value other than threestudio's default is reported."""
    return Key(name, default, note=why)


def idle(name: str, why: str, default: Any = UNSET) -> Key:
    """Return the rule of a key that is not needed here."""
    return Key(name, default, note=why, idle=True)


def lacking(*names: str) -> tuple[Key, ...]:
    """Return rules for the keys of a part or feature that does not exist here."""
    return tuple(Key(name, note="not supported here") for name in names)


def below(prefix: str, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Return the rules for the same keys in a nested mapping."""
    return tuple(replace(key, name=f"{prefix}.{key.name}") for key in keys)


def with_defaults(keys: tuple[Key, ...], defaults: Mapping[str, Any]) -> tuple[Key, ...]:
    """Return the rules for a threestudio class with other defaults."""
    return tuple(replace(key, default=defaults.get(key.name, key.default)) for key in keys)
