"""The things that the prior knows: the pieces behind each name, and the words that mean each piece.

They are listed in `things.txt`, which says how it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

OWN = "own"
TABLE = Path(__file__).with_name("things.txt")


@dataclass(frozen=True)
class Piece:
    """One model of a thing.

    `key` is `catalogue/model` for a catalogue's piece, `own/NAME-N` for one that `models.build` makes. `words` is the
    phrase that means this piece. `yaw_deg` turns it about the vertical so that its front faces world +x. Materials of
    an opacity below `min_alpha` are left out, so that a clock's face is seen through its glass.
    """

    key: str
    words: str
    yaw_deg: float = 0.0
    min_alpha: float = 0.3


@dataclass(frozen=True)
class Thing:
    """One name, other words for it, and its pieces; the first is what the plain name means."""

    name: str
    synonyms: tuple[str, ...]
    pieces: tuple[Piece, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its pieces."""
        return tuple(piece.key for piece in self.pieces)


def read_things(text: str) -> tuple[Thing, ...]:
    """The things of a table as `things.txt` describes it. Raises ValueError for a line of another form."""
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
"""The name behind every other word for it."""
PIECES: dict[str, Piece] = {piece.words: piece for thing in THINGS for piece in thing.pieces}
"""The piece that each name or phrase means."""
