"""Closed vocabulary of a model: the `bozzetto.json` in its weight folder. Imports no torch."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bozzetto.errors import ModelError

__all__ = ["Vocabulary", "words_of"]

FILE = "bozzetto.json"
GRAMMAR = frozenset({"a", "an", "the", "view"})

NEAREST = 3
"""Number of suggestions for each unknown word."""

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


@dataclass(frozen=True)
class Vocabulary:
    """Words a model was trained on."""

    objects: tuple[str, ...]
    """Names of one or more words."""
    colors: tuple[str, ...]
    views: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Vocabulary | None:
        """Read the vocabulary of the model in `folder`; None for an open-vocabulary model.

        Raises:
            ModelError: `bozzetto.json` is invalid.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            objects, colors, views = (tuple(map(str, values[key])) for key in ("objects", "colors", "views"))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} must hold objects, colors and views: {type(error).__name__}: {error}.") from error
        return cls(objects, colors, views)

    @property
    def words(self) -> frozenset[str]:
        """All single words, lower case, including articles."""
        return GRAMMAR | {word for name in (*self.objects, *self.colors, *self.views) for word in words_of(name)}

    def unknown(self, text: str) -> tuple[str, ...]:
        """Return the unknown words of `text`, each once, in order."""
        known = self.words
        return tuple(dict.fromkeys(word for word in words_of(text) if word not in known))

    def notice(self, unknown: Sequence[str], folder: Path) -> str:
        """Return the notice on unknown words: their effect, the nearest names, and where all names are listed.

        Args:
            unknown: at least one word.
            folder: model folder from which the vocabulary was read.
        """
        names = [*self.objects, *self.colors]
        words = [word for word in unknown if len(word) > 2]
        near = [name for word in words for name in difflib.get_close_matches(word, names, NEAREST)]
        told = f" Nearest: {', '.join(dict.fromkeys(near))}." if near else ""
        return (
            f"the words {', '.join(map(repr, unknown))} are unknown to the model and likely ignored.{told} It knows "
            f"{len(self.objects)} names in {len(self.colors)} colours, all listed in {folder / FILE}"
        )


def words_of(text: str) -> Iterable[str]:
    """Return the words of a text, lower case."""
    return _WORD.findall(text.lower())
