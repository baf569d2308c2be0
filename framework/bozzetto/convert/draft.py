"""A recipe of ours in the making: its values, where each comes from, and what could not be had."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bozzetto.config import REQUIRED
from bozzetto.convert.rules import Note


@dataclass(frozen=True)
class Line:
    """A value of ours and where it comes from."""

    value: Any
    comment: str


@dataclass
class Draft:
    """A recipe of ours in the making."""

    title: str
    """The recipe of theirs that it comes from."""
    system: str
    """Their `system_type`."""
    lines: dict[str, Line] = field(default_factory=dict)
    """The values, by dotted path."""
    notes: list[Note] = field(default_factory=list)
    converts: bool = False
    """Its geometry can start from one of another type."""
    stand_ins: list[str] = field(default_factory=list)
    """Parts that stand in for one of theirs that has no equal: kept in the recipe, and said by every check and run."""

    def of(self, severity: str) -> list[Note]:
        """The notes of one severity, each once."""
        return list(dict.fromkeys(note for note in self.notes if note.severity == severity))


def nested(lines: dict[str, Line], where: str) -> dict[str, Any]:
    """The plain values below a path, `type` left out, something in place of what must still be given."""
    values: dict[str, Any] = {}
    for path, line in lines.items():
        if path.startswith(f"{where}.") and not path.endswith(".type"):
            *parents, name = path.removeprefix(f"{where}.").split(".")
            below = values
            for parent in parents:
                below = below.setdefault(parent, {})
            below[name] = "given later" if line.value == REQUIRED else line.value
    return values
