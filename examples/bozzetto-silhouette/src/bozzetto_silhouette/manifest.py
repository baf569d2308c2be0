"""What this package offers. Data only: listing it imports no torch."""

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
        summary="The object's outline is to be that of a picture.",
    )
    yield ComponentSpec(
        kind="exporter",
        name="silhouettes",
        target=f"{HERE}.silhouettes:Silhouettes",
        config=f"{HERE}.config:SilhouettesConfig",
        summary="The object's outline from all around, as black and white pictures.",
    )


@hookimpl
def bozzetto_recipes() -> Iterable[Path]:
    """The folder of recipes that show them."""
    return [Path(__file__).parent / "recipes"]
