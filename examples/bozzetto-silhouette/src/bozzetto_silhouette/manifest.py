"""Manifest of this package. Data only: listing it does not import torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_silhouette"


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the loss and the exporter."""
    yield ComponentSpec(
        kind="loss",
        name="silhouette",
        target=f"{HERE}.silhouette:Silhouette",
        config=f"{HERE}.config:SilhouetteConfig",
        summary="Error of the rendered opacity against a mask image.",
    )
    yield ComponentSpec(
        kind="exporter",
        name="silhouettes",
        target=f"{HERE}.silhouettes:Silhouettes",
        config=f"{HERE}.config:SilhouettesConfig",
        summary="Foreground masks of the object from all around, as black and white images.",
    )


@hookimpl
def bozzetto_recipes() -> Iterable[Path]:
    """Return the folder of example recipes."""
    return [Path(__file__).parent / "recipes"]
