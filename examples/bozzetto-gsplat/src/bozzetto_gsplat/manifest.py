"""What this package offers. Data only: listing it imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_gsplat"


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the geometry, the renderer that draws it and the exporter that writes it."""
    yield ComponentSpec(
        kind="geometry",
        name="gaussians",
        target=f"{HERE}.gaussians:Gaussians",
        config=f"{HERE}.config:GaussiansConfig",
        summary="A cloud of 3D Gaussians (3D Gaussian splatting): fast to draw, also a density field.",
        provides=frozenset({"gaussians", "density", "features", "normal"}),
    )
    yield ComponentSpec(
        kind="renderer",
        name="splatting",
        target=f"{HERE}.splatting:Splatting",
        config=f"{HERE}.config:SplattingConfig",
        summary="Gaussians splatted onto the picture: by gsplat on CUDA, by torch elsewhere.",
        provides=frozenset({"normal"}),
        needs=frozenset({"gaussians", "features"}),
    )
    yield ComponentSpec(
        kind="exporter",
        name="splat-ply",
        target=f"{HERE}.splat_ply:SplatPly",
        config=f"{HERE}.config:SplatPlyConfig",
        summary="The Gaussians as a .ply that viewers of 3D Gaussian splatting open.",
        needs=frozenset({"gaussians", "features"}),
    )


@hookimpl
def bozzetto_recipes() -> Iterable[Path]:
    """The folder of recipes that show them."""
    return [Path(__file__).parent / "recipes"]
