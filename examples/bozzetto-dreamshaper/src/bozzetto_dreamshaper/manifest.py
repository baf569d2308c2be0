"""Manifest of this package. Data only: listing it does not import torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bozzetto import ModelSpec, hookimpl


@hookimpl
def bozzetto_models() -> Iterable[ModelSpec]:
    """Declare the alias. Weights in this package would have `folder` in place of `repositories`."""
    yield ModelSpec(
        alias="dreamshaper-8",
        repositories=("Lykon/dreamshaper-8",),
        size_gb=2.1,
        licence="CreativeML Open RAIL-M",
        memory="about 6 GB on a GPU in half precision",
        note="DreamShaper 8, Stable Diffusion 1.5 fine-tuned for illustrations, 512 px",
    )


@hookimpl
def bozzetto_recipes() -> Iterable[Path]:
    """Return the folder of example recipes."""
    return [Path(__file__).parent / "recipes"]
