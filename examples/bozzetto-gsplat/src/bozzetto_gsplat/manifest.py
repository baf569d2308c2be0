"""Manifest of this package. Data only: listing it does not import torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_gsplat"


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the geometry, its renderer and its exporter."""
    yield ComponentSpec(
        kind="geometry",
        name="gaussians",
        target=f"{HERE}.gaussians:Gaussians",
        config=f"{HERE}.config:GaussiansConfig",
        summary="3D Gaussians (3D Gaussian splatting); fast to render, also a density field.",
        provides=frozenset({"gaussians", "density", "features", "normal"}),
    )
    yield ComponentSpec(
        kind="renderer",
        name="splatting",
        target=f"{HERE}.splatting:Splatting",
        config=f"{HERE}.config:SplattingConfig",
        summary="Gaussian splatting, by gsplat on CUDA and by torch elsewhere.",
        provides=frozenset({"normal"}),
        needs=frozenset({"gaussians", "features"}),
    )
    yield ComponentSpec(
        kind="exporter",
        name="splat-ply",
        target=f"{HERE}.splat_ply:SplatPly",
        config=f"{HERE}.config:SplatPlyConfig",
        summary="The Gaussians as a .ply for viewers of 3D Gaussian splatting.",
        needs=frozenset({"gaussians", "features"}),
    )


@hookimpl
def bozzetto_recipes() -> Iterable[Path]:
    """Return the folder of example recipes."""
    return [Path(__file__).parent / "recipes"]
