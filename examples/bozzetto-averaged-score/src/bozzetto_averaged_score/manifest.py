"""Manifest of this package. Data only: listing it does not import torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bozzetto import ComponentSpec, hookimpl


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the score."""
    yield ComponentSpec(
        kind="score",
        name="averaged",
        target="bozzetto_averaged_score.averaged:Averaged",
        config="bozzetto_averaged_score.config:AveragedConfig",
        summary="Score distillation averaged over several noises per step.",
        provides=frozenset({"score"}),
    )


@hookimpl
def bozzetto_recipes() -> Iterable[Path]:
    """Return the folder of example recipes."""
    return [Path(__file__).parent / "recipes"]
