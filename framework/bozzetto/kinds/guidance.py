"""Guidance protocol: losses of a diffusion prior on the rendered views. Holds frozen weights that are not saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.types import Cameras, Guided, Reference, Rendered, ViewCondition

__all__ = ["ElevationEstimator", "Guidance", "TextEncoder", "UsesFurtherModels", "folder_of"]


@runtime_checkable
class TextEncoder(Protocol):
    """Part of a guidance that a prompt processor requires."""

    text_model_id: str
    """Content hash of the text encoder's weights, the key of cached embeddings."""

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Encode T texts; embeddings are on the guidance's device."""

    def unknown_words(self, text: str) -> Sequence[str]:
        """Return the words of `text` unknown to the model; empty for an open-vocabulary model."""


@runtime_checkable
class Guidance(TextEncoder, Protocol):
    """Guidance model. Constructor: `Guidance(config, model_folder, device)`.

    `model_folder` is a local folder with the weights named by the config's field `model`, which the host provides
    (`bozzetto.weights`); None if the config has no such field. The manifest's `provides` lists the names of its losses,
    e.g. `{"sds"}`.
    """

    def needs_normal(self, step: int) -> bool:
        """Return whether `rendered.normal` is read in this step."""

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """Return losses whose gradient with respect to `rendered.image` moves the views toward the condition."""


@runtime_checkable
class ElevationEstimator(Protocol):
    """Guidance that can estimate the elevation of a photo's camera."""

    def estimate_elevation_deg(self, reference: Reference, generator: torch.Generator) -> float:
        """Estimate the elevation of the photo's camera in degrees; the elevation of `reference.camera` is ignored."""


@runtime_checkable
class UsesFurtherModels(Protocol):
    """Guidance with weights beside its `model`, e.g. ControlNets.

    Its config has the attribute `further_models`, a tuple of their names, which may be empty, and the method
    `require_further_weights(folder, further)`, which raises `ModelError` if those do not suit the model in `folder`. By
    a method `further_judge(base)` it gives a `bozzetto.model_files.ModelJudge` of them, which is asked before they are
    downloaded; `base` is the folder of `model`, or None while that is not on this machine.
    """

    def use_models(self, folders: Mapping[str, Path]) -> None:
        """Load the weights in these folders, by name; called once, after the constructor, if there are any."""


def folder_of(path: Path) -> Path:
    """Return the folder, checked to be in diffusers' format.

    Raises:
        FileNotFoundError: it has no model_index.json.
    """
    if not (path / "model_index.json").is_file():
        raise FileNotFoundError(f"{path} has no model_index.json")
    return path
