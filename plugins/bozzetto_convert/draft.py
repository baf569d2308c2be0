"""Recipe under construction: its values, their sources, and notes on what could not be converted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bozzetto.config.binding import REQUIRED
from bozzetto_convert.rules import UNSET, Note

LOST = "not translated from threestudio"
"""Beginning of the notice on keys without equivalent."""


@dataclass(frozen=True)
class Line:
    """Value of the recipe and the source it was converted from."""

    value: Any
    comment: str


@dataclass
class Draft:
    """Recipe under construction."""

    title: str
    """Name of the threestudio recipe it is converted from."""
    system: str
    """threestudio's `system_type`."""
    lines: dict[str, Line] = field(default_factory=dict)
    """Values by dotted path."""
    notes: list[Note] = field(default_factory=list)
    converts: bool = False
    """True if the geometry can be initialised from one of another type."""
    stand_ins: list[str] = field(default_factory=list)
    """Substitutes for parts without equivalent."""

    def of(self, severity: str) -> list[Note]:
        """Return the distinct notes of one severity."""
        return list(dict.fromkeys(note for note in self.notes if note.severity == severity))

    def notices(self) -> list[str]:
        """Return what every check and run of the recipe repeats: the stand-ins, and on one line the other lost keys."""
        lost = dict.fromkeys(note.name for note in self.of("lost") if str(note) not in self.stand_ins)
        return [*self.stand_ins, *([f"{LOST}: {', '.join(lost)}"] if lost else [])]


def nested(lines: dict[str, Line], where: str) -> dict[str, Any]:
    """Return the plain values below a path without its own `type`; values that the user must give have placeholders."""
    values: dict[str, Any] = {}
    for path, line in lines.items():
        if path.startswith(f"{where}.") and path != f"{where}.type":
            *parents, name = path.removeprefix(f"{where}.").split(".")
            below = values
            for parent in parents:
                below = below.setdefault(parent, {})
            below[name] = "given later" if line.value == REQUIRED else line.value
    return values


def joined(base: str, name: str) -> str:
    """Return the path of a key below a base, which may be empty."""
    return f"{base}.{name}" if base else name


def shown(path: str, value: Any) -> str:
    """Return a path with its value, if there is one that fits on a line."""
    return path if value in (UNSET, REQUIRED) or isinstance(value, dict) else f"{path} = {value!r}"
