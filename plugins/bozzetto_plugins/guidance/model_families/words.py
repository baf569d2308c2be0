"""What text encoders say of texts, and its form in one tensor, in which it passes prompt processors and the cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Words", "WordsLayout"]


@dataclass(frozen=True)
class Words:
    """Encoded texts, one per row."""

    tokens: Float[Tensor, "B N E"]
    """Hidden states of each token."""
    pooled: Float[Tensor, "B P"] | None = None
    """One vector for the whole text."""
    mask: Bool[Tensor, "B N"] | None = None
    """True: a token of the text; false: padding. None: the denoiser attends to padding, too."""


@dataclass(frozen=True)
class WordsLayout:
    """Shapes of a family's `Words`, and their packing into rows of one tensor.

    A prompt processor selects and blends embeddings "N E" of texts without knowing what their rows mean. The pooled
    vector and the mask follow the tokens as further rows, filled up with zeros, so that all of a text is selected and
    blended alike, and cached in one file. In a blend a token is of the text if it is in one of the blended texts.
    """

    length: int
    """N, tokens of each text."""
    width: int
    """E, width of a token."""
    pooled: int = 0
    """P, width of the pooled vector; 0: none."""
    masked: bool = False
    """Whether there is a mask."""

    @property
    def rows(self) -> int:
        """Rows of the packed form."""
        return self.length + _rows(self.pooled, self.width) + _rows(self.length * self.masked, self.width)

    def pack(self, words: Words) -> Float[Tensor, "B R E"]:
        """Return the packed form, float32.

        Raises:
            ValueError: the words have other shapes.
        """
        tokens = words.tokens.float()
        has = (tuple(tokens.shape[1:]), 0 if words.pooled is None else words.pooled.shape[1], words.mask is not None)
        if has != ((self.length, self.width), self.pooled, self.masked):
            raise ValueError(f"texts were encoded to (tokens, pooled, mask) {has}, and the model expects {self}")
        more = [value.float() for value in (words.pooled, words.mask) if value is not None]
        return torch.cat([tokens, *(_as_rows(value, self.width) for value in more)], dim=1)

    def unpack(self, rows: Float[Tensor, "B R E"]) -> Words:
        """Return the words of a packed form.

        Raises:
            ValueError: it has another number of rows, or another width.
        """
        if tuple(rows.shape[1:]) != (self.rows, self.width):
            raise ValueError(
                f"embeddings have shape {tuple(rows.shape[1:])}, the model expects {self.rows, self.width}"
            )
        rest = rows[:, self.length :].flatten(1)
        start = _rows(self.pooled, self.width) * self.width
        return Words(
            rows[:, : self.length],
            rest[:, : self.pooled] if self.pooled else None,
            rest[:, start : start + self.length] > 0.0 if self.masked else None,
        )


def _rows(values: int, width: int) -> int:
    """Return how many rows hold so many values."""
    return -(-values // width)


def _as_rows(values: Float[Tensor, "B P"], width: int) -> Float[Tensor, "B R E"]:
    filled = _rows(values.shape[1], width) * width
    rows: Tensor = torch.nn.functional.pad(values, (0, filled - values.shape[1])).unflatten(1, (-1, width))
    return rows
