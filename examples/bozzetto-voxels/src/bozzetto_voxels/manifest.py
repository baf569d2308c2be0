"""Manifest of this package. Data only: listing it does not import torch."""

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
        summary="Density and features in a dense voxel grid with trilinear interpolation.",
        api=1,
        provides=frozenset({"density", "features", "normal"}),
    )


@hookimpl
def bozzetto_recipes() -> Iterable[Path]:
    """Return the folder of example recipes."""
    return [Path(__file__).parent / "recipes"]
