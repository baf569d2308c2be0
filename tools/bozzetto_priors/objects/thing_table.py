"""Things known to the prior: the pieces of each name, and the words that refer to each piece.

They are listed in `things.txt`, which documents its format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

OWN = "own"
TABLE = Path(__file__).with_name("things.txt")


@dataclass(frozen=True)
class Piece:
    """One model of a thing.

    `key` is `catalogue/model` for a catalogue's piece, `own/NAME-N` for one that `builders.build` makes. `words` is the
    phrase that refers to this piece. `yaw_deg` turns it about the vertical so that its front faces world +x. Materials
    with an opacity below `min_alpha` are omitted, so that a clock's face is visible through its glass.
    """

    key: str
    words: str
    yaw_deg: float = 0.0
    min_alpha: float = 0.3


@dataclass(frozen=True)
class Thing:
    """One name, its synonyms, and its pieces; the plain name refers to the first piece."""

    name: str
    synonyms: tuple[str, ...]
    pieces: tuple[Piece, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of its pieces."""
        return tuple(piece.key for piece in self.pieces)


def read_things(text: str) -> tuple[Thing, ...]:
    """Parse the table of `things.txt`. Raises ValueError for a malformed line."""
    things: list[Thing] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words, *rest = (part.strip() for part in line.split("|"))
        name, *synonyms = (word.strip() for word in words.split(","))
        further = line[0].isspace()
        if not 1 <= len(rest) <= 3 or not name or (further and (synonyms or not things)):
            raise ValueError(f"line {number} of the things is not `words | key | degrees | opacity`: {line!r}")
        piece = Piece(rest[0], name, *map(float, rest[1:]))
        if further:
            things[-1] = replace(things[-1], pieces=(*things[-1].pieces, piece))
        else:
            things.append(Thing(name, tuple(synonyms), (piece,)))
    return tuple(things)


THINGS: tuple[Thing, ...] = read_things(TABLE.read_text(encoding="utf-8"))
SYNONYMS: dict[str, str] = {word: thing.name for thing in THINGS for word in thing.synonyms}
"""Name for every synonym."""
PIECES: dict[str, Piece] = {piece.words: piece for thing in THINGS for piece in thing.pieces}
"""Piece for each name or phrase."""
