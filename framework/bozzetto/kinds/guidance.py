"""Guidance: what an image prior says about the rendered views. Holds frozen weights; nothing of it is saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.types import Cameras, Guided, Reference, Rendered, ViewCondition


@runtime_checkable
class TextEncoder(Protocol):
    """The part of a guidance that a prompt processor needs."""

    text_model_id: str
    """Identifies the text encoder's weights by content, so that cached embeddings are never mistaken."""

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Embeddings of T texts, on the guidance's device."""

    def unknown_words(self, text: str) -> Sequence[str]:
        """Words of `text` the prior was never trained on; empty for an open-vocabulary prior."""


@runtime_checkable
class Guidance(TextEncoder, Protocol):
    """Constructor: `Guidance(config, model_folder, device)`.

    `model_folder` is a local folder that already holds the weights which the config's field `model` names (finding them
    is the host's work, `bozzetto.models`); None if the config has no such field. The manifest's `provides` lists the
    names of its losses, e.g. `{"sds"}`.
    """

    def needs_normal(self, step: int) -> bool:
        """Whether `rendered.normal` is read in this step."""

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """Losses whose gradient in `rendered.image` pulls the views toward the condition."""


@runtime_checkable
class ElevationEstimator(Protocol):
    """A guidance that can tell from how high a photo was taken."""

    def estimate_elevation_deg(self, reference: Reference, generator: torch.Generator) -> float:
        """The likeliest elevation of the photo's camera; that of `reference.camera` means nothing."""


def folder_of(path: Path) -> Path:
    """The folder itself, checked to be one in diffusers' format."""
    if not (path / "model_index.json").is_file():
        raise FileNotFoundError(f"{path} has no model_index.json")
    return path
