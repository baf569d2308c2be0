"""Manifest of the built-in geometries."""

from __future__ import annotations

from collections.abc import Iterable

from bozzetto import ComponentSpec, hookimpl


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the built-in geometries."""
    provides = frozenset({"density", "features", "normal"})
    yield ComponentSpec(
        kind="geometry",
        name="hash-grid",
        target="bozzetto_plugins.geometry.hash_grid:HashGrid",
        config="bozzetto_plugins.geometry.config:HashGridConfig",
        summary="Density field on a multiresolution hash grid (Instant NGP); fast, fine detail.",
        provides=provides,
    )
    yield ComponentSpec(
        kind="geometry",
        name="frequency-mlp",
        target="bozzetto_plugins.geometry.frequency_mlp:FrequencyMlp",
        config="bozzetto_plugins.geometry.config:FrequencyMlpConfig",
        summary="Density field as a residual MLP of sines and cosines (NeRF); few parameters, smooth.",
        provides=provides,
    )
    yield ComponentSpec(
        kind="geometry",
        name="sdf-grid",
        target="bozzetto_plugins.geometry.sdf_grid:SdfGrid",
        config="bozzetto_plugins.geometry.config:SdfGridConfig",
        summary="Signed distances on a hash grid, rendered as a volume (VolSDF); a smooth, closed surface.",
        provides=provides | {"sdf"},
    )
    yield ComponentSpec(
        kind="geometry",
        name="dmtet",
        target="bozzetto_plugins.geometry.dmtet:Dmtet",
        config="bozzetto_plugins.geometry.surface_config:DmtetConfig",
        summary="Surface extracted from a deformable tetrahedral grid (DMTet); sharp, refines a coarse stage.",
        provides=frozenset({"mesh", "sdf", "features", "conversion"}),
    )
    yield ComponentSpec(
        kind="geometry",
        name="mesh",
        target="bozzetto_plugins.geometry.mesh:Mesh",
        config="bozzetto_plugins.geometry.surface_config:MeshConfig",
        summary="Fixed triangle mesh from a file (.glb, .obj, .ply) with trainable features.",
        provides=frozenset({"mesh", "features"}),
    )
