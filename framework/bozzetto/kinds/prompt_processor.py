"""Prompt processor protocol: from a prompt to the conditioning of each view."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from bozzetto.kinds.guidance import TextEncoder
from bozzetto.types import Cameras, ViewCondition

__all__ = ["Condition", "PromptProcessor", "UsesModel"]


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


@runtime_checkable
class UsesModel(Protocol):
    """Prompt processor with a model of its own, besides the guidance's: its config has a field `model`.

    The config may declare, as class attribute, `without_model`, what to do where the model is not at hand: a clause for
    an error message.
    """

    def use_model(self, folder: Path, device: torch.device) -> None:
        """Take the local folder of the weights. Called once, before `texts` and `encode`."""
