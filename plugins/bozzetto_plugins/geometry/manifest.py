"""The built-in geometries, as data."""

from __future__ import annotations

from collections.abc import Iterable

from bozzetto import ComponentSpec, hookimpl


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    provides = frozenset({"density", "features", "normal"})
    yield ComponentSpec(
        kind="geometry",
        name="hash-grid",
        target="bozzetto_plugins.geometry.hash_grid:HashGrid",
        config="bozzetto_plugins.geometry.config:HashGridConfig",
        summary="Density field on a multiresolution hash grid (Instant NGP): fast, fine detail.",
        provides=provides,
    )
    yield ComponentSpec(
        kind="geometry",
        name="frequency-mlp",
        target="bozzetto_plugins.geometry.frequency_mlp:FrequencyMlp",
        config="bozzetto_plugins.geometry.config:FrequencyMlpConfig",
        summary="Density field in one residual network on sines and cosines (NeRF): few parameters, smooth.",
        provides=provides,
    )
    yield ComponentSpec(
        kind="geometry",
        name="dmtet",
        target="bozzetto_plugins.geometry.dmtet:Dmtet",
        config="bozzetto_plugins.geometry.surface_config:DmtetConfig",
        summary="Surface cut out of a deformable tetrahedral grid (DMTet): sharp, refines a coarse stage.",
        provides=frozenset({"mesh", "sdf", "features", "conversion"}),
    )
    yield ComponentSpec(
        kind="geometry",
        name="mesh",
        target="bozzetto_plugins.geometry.mesh:Mesh",
        config="bozzetto_plugins.geometry.surface_config:MeshConfig",
        summary="The triangles of a file (.glb, .obj, .ply), whose colours are trained.",
        provides=frozenset({"mesh", "features"}),
    )
