"""Prompt processor protocol: from a prompt to the conditioning of each view."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from bozzetto.kinds.guidance import TextEncoder
from bozzetto.types import Cameras, ViewCondition

__all__ = ["Condition", "PromptProcessor"]


@runtime_checkable
class Condition(Protocol):
    """Encoded prompt."""

    def for_view(self, cameras: Cameras) -> ViewCondition:
        """Return the conditioning of each camera."""


@runtime_checkable
class PromptProcessor(Protocol):
    """Prompt processor. Constructor: `PromptProcessor(config, prompt, negative_prompt)`; text only until `encode`.

    Its config may have an attribute `text_branches`, the branches (`bozzetto.kinds.score.Branch`) whose texts it gives:
    a score that needs another is then refused when the recipe is read.
    """

    def texts(self) -> dict[str, str]:
        """Return the prompt of every view direction, by direction name."""

    def encode(self, encoder: TextEncoder, cache: Path | None) -> Condition:
        """Encode all directions; embeddings are cached in the folder `cache` by content hash (None: no cache)."""
