"""What this package offers. Data only: listing it imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bozzetto import ComponentSpec, hookimpl


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the geometry."""
    yield ComponentSpec(
        kind="geometry",
        name="voxels",
        target="bozzetto_voxels.voxels:Voxels",
        config="bozzetto_voxels.config:VoxelsConfig",
        summary="Density and features in a dense grid of voxels, trilinear in between.",
        api=1,
        provides=frozenset({"density", "features", "normal"}),
    )


@hookimpl
def bozzetto_recipes() -> Iterable[Path]:
    """The folder of recipes that show it."""
    return [Path(__file__).parent / "recipes"]
